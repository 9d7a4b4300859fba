/** What can be done to a run: by the server where it may, else by the command to copy. */
import type { ReactNode } from "react";
import { CopyButton } from "../../parts/Bits";
import { Menu, MenuAction, MenuLabel } from "../../parts/Menu";
import { useRun } from "./useRun";

export function Actions({ icon }: { icon: ReactNode }) {
  const { name, view, live } = useRun();
  const copy = (text: string) => void navigator.clipboard?.writeText(text);
  const commands = live
    ? [`headrace cancel ${name}`, `headrace logs ${name} --follow`, `headrace show ${name}`]
    : [`headrace resume ${name}`, `headrace show ${name}`, `headrace reproduce ${name}`, `headrace rm ${name}`];
  return (
    <span className="actions">
      {live && <CopyButton text={`headrace cancel ${name}`} what="the command that cancels the run">Cancel command</CopyButton>}
      {(view.run.state === "failed" || view.run.state === "crashed" || view.run.state === "interrupted") && (
        <CopyButton text={`headrace resume ${name}`} what="the command that resumes the run">Resume command</CopyButton>
      )}
      <Menu label="More" button={icon} end plain>
        <MenuLabel>Copy a command</MenuLabel>
        {commands.map((one) => (
          <MenuAction key={one} onSelect={() => copy(one)}>
            <code>{one}</code>
          </MenuAction>
        ))}
      </Menu>
    </span>
  );
}
