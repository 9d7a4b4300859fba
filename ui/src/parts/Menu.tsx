import * as Radix from "@radix-ui/react-dropdown-menu";
import { ChevronDown } from "lucide-react";
import type { ReactNode } from "react";
import { useLocation } from "wouter";

/** A button that opens a list of things to do. Not modal: nothing has to be styled by a script. */
export function Menu({ label, button, children, end, plain }: { label: string; button: ReactNode; children: ReactNode; end?: boolean; plain?: boolean }) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger className={plain ? "iconbutton" : "menubutton"} aria-label={label}>
        {button}
        {!plain && <ChevronDown size={14} aria-hidden />}
      </Radix.Trigger>
      <Radix.Portal>
        <Radix.Content className="menu" align={end ? "end" : "start"} sideOffset={4} collisionPadding={8}>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export function MenuLink({ href, chosen, children }: { href: string; chosen?: boolean; children: ReactNode }) {
  const [, navigate] = useLocation();
  return (
    <Radix.Item className="menu-item" onSelect={() => navigate(href)} data-chosen={chosen || undefined}>
      {children}
    </Radix.Item>
  );
}

export function MenuAction({ onSelect, danger, children }: { onSelect: () => void; danger?: boolean; children: ReactNode }) {
  return (
    <Radix.Item className="menu-item" onSelect={onSelect} data-danger={danger || undefined}>
      {children}
    </Radix.Item>
  );
}

export function MenuCheck({ checked, onChange, children }: { checked: boolean; onChange: (on: boolean) => void; children: ReactNode }) {
  return (
    <Radix.CheckboxItem
      className="menu-item check"
      checked={checked}
      onCheckedChange={onChange}
      onSelect={(event) => event.preventDefault()}
    >
      <span className="menu-tick" aria-hidden="true">
        <Radix.ItemIndicator>✓</Radix.ItemIndicator>
      </span>
      {children}
    </Radix.CheckboxItem>
  );
}

export function MenuLabel({ children }: { children: ReactNode }) {
  return <Radix.Label className="menu-label">{children}</Radix.Label>;
}
