/** A link in a row of a long table. Unlike wouter's it listens to nothing, so that rows that come into sight cost little. */
import type { AnchorHTMLAttributes } from "react";
import { navigate } from "wouter/use-browser-location";

export function RowLink({ href, children, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  return (
    <a
      href={href}
      {...rest}
      onClick={(event) => {
        if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        navigate(href);
      }}
    >
      {children}
    </a>
  );
}
