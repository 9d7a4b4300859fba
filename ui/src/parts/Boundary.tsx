import { Component, type ReactNode } from "react";
import { readSetting, writeSetting } from "../lib/store";
import { Problem } from "./Bits";

/** At most so often is a page loaded anew because a part of it is gone, in milliseconds. */
const AGAIN = 60_000;

/** The server has other pages than this one since it was started again. */
function isOutdated(error: Error): boolean {
  return /dynamically imported module|module script failed|Importing a module/.test(error.message);
}

/** A defect of a page is said in its place; the rest of the window goes on. */
export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error };
  }

  override componentDidCatch(error: Error): void {
    if (!isOutdated(error) || Date.now() - Number(readSetting("reloaded") ?? 0) < AGAIN) return;
    writeSetting("reloaded", String(Date.now()));
    window.location.reload();
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    if (isOutdated(this.state.error)) return <Problem error={new Error("A part of the pages could not be loaded: the server is away, or has newer ones.")} retry={() => window.location.reload()} />;
    return <Problem error={this.state.error} retry={() => this.setState({ error: null })} />;
  }
}
