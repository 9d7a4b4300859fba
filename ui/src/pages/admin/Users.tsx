import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { address, ApiError, send, useGet, type Schemas } from "../../api/client";
import { Dialog, Empty, Shown, Time } from "../../parts/Bits";
import { Menu, MenuAction } from "../../parts/Menu";
import { useToast } from "../../parts/Toast";

export const ROLES = ["viewer", "editor", "admin"];

/** Change something, say how that went, and ask for everything on the page again. */
export function useChange(): (method: string, url: string, body: unknown, done: string, undo?: () => void) => Promise<unknown> {
  const queries = useQueryClient();
  const toast = useToast();
  return async (method, url, body, done, undo) => {
    try {
      const answer = await send(method, url, body);
      await queries.invalidateQueries();
      toast({ text: done, ...(undo ? { undo } : {}) });
      return answer ?? true;
    } catch (error) {
      toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true });
      return null;
    }
  };
}

export function Users() {
  const users = useGet("/api/v1/users", {});
  const projects = useGet("/api/v1/projects", {});
  const [adding, setAdding] = useState(false);
  const change = useChange();
  const names = projects.data?.items.map((one) => one.name) ?? [];
  return (
    <section className="section" aria-label="Users">
      <div className="toolbar bare">
        <button type="button" className="button main" onClick={() => setAdding(true)}>
          Add a user
        </button>
      </div>
      <Shown query={users}>
        {(found) =>
          found.items.length === 0 ? (
            <Empty title="No users yet" command="headrace user add ana --role admin" />
          ) : (
            <div className="scroll-x" tabIndex={0} role="group" aria-label="Table of users">
              <table className="plain-table">
                <thead>
                  <tr>
                    <th scope="col">User</th>
                    <th scope="col">Roles</th>
                    <th scope="col">Logs in by</th>
                    <th scope="col">Since</th>
                    <th scope="col">
                      <span className="hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {found.items.map((user) => (
                    <tr key={user.name}>
                      <td>
                        <b>{user.name}</b> <span className="quiet">{user.display}</span> {user.disabled && <span className="chip">disabled</span>}
                      </td>
                      <td>
                        <Roles user={user} projects={names} />
                      </td>
                      <td className="quiet">{user.login}</td>
                      <td>
                        <Time at={user.created} />
                      </td>
                      <td className="right">
                        <button
                          type="button"
                          className="button"
                          onClick={() => {
                            const set = (disabled: boolean, undo?: () => void) => change("PATCH", address("/api/v1/users/{user}", { user: user.name }), { disabled }, `${user.name} is ${disabled ? "disabled" : "enabled"}`, undo);
                            void set(!user.disabled, () => void set(user.disabled));
                          }}
                        >
                          {user.disabled ? "Enable" : "Disable"}
                        </button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Shown>
      <Dialog title="Add a user" open={adding} onClose={() => setAdding(false)}>
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            const data = new FormData(event.currentTarget);
            const text = (name: string) => String(data.get(name) ?? "").trim();
            void change("POST", "/api/v1/users", { name: text("name"), display: text("display"), password: text("password") }, `${text("name")} is a user now`).then((done) => done && setAdding(false));
          }}
        >
          <label>
            Name
            <input className="field" name="name" required autoComplete="off" autoFocus />
          </label>
          <label>
            Shown as
            <input className="field" name="display" autoComplete="off" />
          </label>
          <label>
            Password (empty: by single sign-on alone)
            <input className="field" name="password" type="password" autoComplete="new-password" />
          </label>
          <button type="submit" className="button main">
            Add
          </button>
        </form>
      </Dialog>
    </section>
  );
}

function Roles({ user, projects }: { user: Schemas["UserView"]; projects: readonly string[] }) {
  const change = useChange();
  const url = (project: string) => (project === "*" ? address("/api/v1/users/{user}/role", { user: user.name }) : address("/api/v1/projects/{project}/roles/{user}", { project, user: user.name }));
  const set = (project: string, role: string, before: string | undefined) => {
    const where = project === "*" ? "all projects" : project;
    const give = (next: string | undefined, undo?: () => void) => change(next ? "PUT" : "DELETE", url(project), next ? { role: next } : undefined, next ? `${user.name} is ${next} of ${where}` : `${user.name} has no role in ${where}`, undo);
    void give(role || undefined, () => void give(before));
  };
  const entries = Object.entries(user.roles);
  return (
    <span className="sources">
      {[...entries, ...["*", ...projects].filter((one) => !(one in user.roles)).map((one) => [one, ""] as const)].map(([project, role]) => (
        <Menu key={project} label={`Role of ${user.name} in ${project === "*" ? "all projects" : project}`} button={<span className={role ? "" : "quiet"}>{project === "*" ? "all projects" : project}: {role || "none"}</span>}>
          {[...ROLES, ""].map((one) => (
            <MenuAction key={one} onSelect={() => set(project, one, role || undefined)}>
              {one || "none"}
            </MenuAction>
          ))}
        </Menu>
      ))}
    </span>
  );
}
