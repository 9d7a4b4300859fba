/** Who is logged in, what they may, and logging out; nothing where the server has no accounts. */
import { ApiError, loginAddress, send, useGet } from "../api/client";
import { Menu, MenuAction, MenuLabel, MenuLink } from "./Menu";

export function useSession() {
  return useGet("/api/v1/session", {}, { fixed: true });
}

/** What the reader may do in a project. The server decides; this only leaves out what it would refuse. */
export function useMay(project: string): { change: boolean; administer: boolean } {
  const { data } = useSession();
  const role = data?.admin ? "admin" : (data?.roles[project] ?? data?.roles["*"] ?? "");
  return { change: role === "editor" || role === "admin", administer: data?.admin ?? false };
}

export function Account() {
  const session = useSession();
  if (session.error instanceof ApiError && session.error.status === 401) return <a href={loginAddress()}>Log in</a>;
  if (!session.data || session.data.auth === "none") return null;
  const leave = (): void => {
    void send("DELETE", "/api/v1/session").finally(() => window.location.assign("/login"));
  };
  const roles = Object.entries(session.data.roles).map(([project, role]) => `${role} of ${project === "*" ? "all projects" : project}`);
  return (
    <Menu label={`Account of ${session.data.user}`} button={<span className="cut account-name">{session.data.user}</span>} end>
      <MenuLabel>{session.data.admin ? "Admin of the server" : roles.join(", ") || "Logged in"}</MenuLabel>
      <MenuLink href="/admin/tokens">Tokens</MenuLink>
      {session.data.auth !== "proxy" && <MenuAction onSelect={leave}>Log out</MenuAction>}
    </Menu>
  );
}
