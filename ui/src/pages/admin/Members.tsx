/** Who may do what in one project; for those who administer it. */
import { address, useGet, type Schemas } from "../../api/client";
import { Empty, Shown } from "../../parts/Bits";
import { Menu, MenuAction } from "../../parts/Menu";
import { ROLES, useChange } from "./Users";

type Member = Schemas["RoleView"];

export function Members({ project }: { project: string }) {
  const members = useGet("/api/v1/projects/{project}/roles", { project });
  const change = useChange();
  const url = (user: string) => address("/api/v1/projects/{project}/roles/{user}", { project, user });
  const give = (user: string, role: string, undo?: () => void) =>
    role
      ? change("PUT", url(user), { role }, `${user} is ${role} of ${project}`, undo)
      : change("DELETE", url(user), undefined, `${user} has no role in ${project}`, undo);
  return (
    <section className="section" aria-label={`Members of ${project}`}>
      <form
        className="toolbar bare"
        onSubmit={(event) => {
          event.preventDefault();
          const form = event.currentTarget;
          const data = new FormData(form);
          void give(String(data.get("user")).trim(), String(data.get("role"))).then((done) => done && form.reset());
        }}
      >
        <label className="check-label">
          Let
          <input className="field" name="user" required placeholder="name of a user" autoComplete="off" />
        </label>
        <label className="check-label">
          be
          <select className="field" name="role" defaultValue="viewer">
            {ROLES.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
          of {project}
        </label>
        <button type="submit" className="button main">
          Add
        </button>
      </form>
      <Shown query={members}>
        {(found) =>
          found.items.length === 0 ? <Empty title={`Nobody has a role in ${project} yet`}>Admins of the server see it all the same.</Empty> : <Table project={project} members={found.items} give={give} />
        }
      </Shown>
    </section>
  );
}

function Table({ project, members, give }: { project: string; members: readonly Member[]; give: (user: string, role: string, undo?: () => void) => Promise<unknown> }) {
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label="Table of members">
      <table className="plain-table">
        <thead>
          <tr>
            <th scope="col">User</th>
            <th scope="col">Role</th>
          </tr>
        </thead>
        <tbody>
          {members.map((one) => (
            <tr key={`${one.user} ${one.everywhere}`}>
              <td>
                <b>{one.user}</b>
              </td>
              <td>
                {one.everywhere ? (
                  <span className="quiet">{one.role} of all projects</span>
                ) : (
                  <Menu label={`Role of ${one.user} in ${project}`} button={one.role}>
                    {[...ROLES, ""].map((role) => (
                      <MenuAction key={role} onSelect={() => void give(one.user, role, () => void give(one.user, one.role))}>
                        {role || "none"}
                      </MenuAction>
                    ))}
                  </Menu>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
