/** Who is logged in, and logging out; nothing where the server has no accounts. */
import { ApiError, loginAddress, send, useGet } from "../api/client";
import { Menu, MenuAction, MenuLabel } from "./Menu";

export function Account() {
  const session = useGet("/api/v1/session", {}, { fixed: true });
  if (session.error instanceof ApiError && session.error.status === 401) return <a href={loginAddress()}>Log in</a>;
  if (!session.data || session.data.auth === "none") return null;
  const leave = (): void => {
    void send("DELETE", "/api/v1/session").finally(() => window.location.assign("/login"));
  };
  return (
    <Menu label={`Account of ${session.data.user}`} button={session.data.user} end>
      <MenuLabel>{session.data.admin ? "Admin of the server" : "Logged in"}</MenuLabel>
      {session.data.auth !== "proxy" && <MenuAction onSelect={leave}>Log out</MenuAction>}
    </Menu>
  );
}
