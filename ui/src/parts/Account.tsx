/** Who is logged in, what they may, and logging out; nothing where the server has no accounts. */
import { useState } from "react";
import { ApiError, loginAddress, send, useGet } from "../api/client";
import { Dialog } from "./Bits";
import { Menu, MenuAction, MenuLabel, MenuLink } from "./Menu";
import { useToast } from "./Toast";

export function useSession() {
  return useGet("/api/v1/session", {}, { fixed: true });
}

const ROLES = ["", "viewer", "editor", "admin"];

export interface May {
  /** Change runs of the project. */
  change: boolean;
  /** Have drivers started for them. */
  start: boolean;
  /** Give roles in the project, and read its part of the audit log. */
  manage: boolean;
  /** All of that, of every project and of the server. */
  administer: boolean;
}

/** What the reader may do in a project. The server decides; this only leaves out what it would refuse. */
export function useMay(project: string): May {
  const { data } = useSession();
  const about = useGet("/api/v1/about", {}, { fixed: true });
  const rank = data?.admin ? 3 : Math.max(...[data?.roles[project], data?.roles["*"]].map((role) => ROLES.indexOf(role ?? "")));
  return { change: rank >= 2, start: rank >= 2 && (about.data?.drivers ?? false), manage: rank >= 3, administer: data?.admin ?? false };
}

export function Account() {
  const session = useSession();
  const [changing, setChanging] = useState(false);
  if (session.error instanceof ApiError && session.error.status === 401) return <a href={loginAddress()}>Log in</a>;
  if (!session.data || session.data.auth === "none") return null;
  const leave = (): void => {
    void send("DELETE", "/api/v1/session").finally(() => window.location.assign("/login"));
  };
  const roles = Object.entries(session.data.roles).map(([project, role]) => `${role} of ${project === "*" ? "all projects" : project}`);
  return (
    <>
      <Menu label={`Account of ${session.data.user}`} button={<span className="cut account-name">{session.data.user}</span>} end>
        <MenuLabel>{session.data.admin ? "Admin of the server" : roles.join(", ") || "Logged in"}</MenuLabel>
        <MenuLink href="/admin/tokens">Tokens</MenuLink>
        {session.data.auth === "users" && <MenuAction onSelect={() => setChanging(true)}>Change the password…</MenuAction>}
        {session.data.auth !== "proxy" && <MenuAction onSelect={leave}>Log out</MenuAction>}
      </Menu>
      <Password open={changing} close={() => setChanging(false)} />
    </>
  );
}

function Password({ open, close }: { open: boolean; close: () => void }) {
  const toast = useToast();
  const [wrong, setWrong] = useState("");
  const change = async (data: FormData) => {
    try {
      await send("PUT", "/api/v1/session/password", { old: String(data.get("old")), new: String(data.get("new")) });
      setWrong("");
      close();
      toast({ text: "The password is changed" });
    } catch (error) {
      setWrong(error instanceof ApiError ? error.detail || error.title : String(error));
    }
  };
  return (
    <Dialog title="Change the password" open={open} onClose={close}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          void change(new FormData(event.currentTarget));
        }}
      >
        <label>
          The password now
          <input className="field" name="old" type="password" required autoComplete="current-password" autoFocus />
        </label>
        <label>
          The new one
          <input className="field" name="new" type="password" required autoComplete="new-password" />
        </label>
        {wrong && (
          <p className="s-failed" role="alert">
            {wrong}
          </p>
        )}
        <button type="submit" className="button main">
          Change
        </button>
      </form>
    </Dialog>
  );
}
