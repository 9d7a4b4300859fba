import { useState } from "react";
import { address, useGet, type Schemas } from "../../api/client";
import { Command, Dialog, Empty, Shown, Time } from "../../parts/Bits";
import { useChange } from "./Users";

export function Tokens({ me }: { me: Schemas["SessionView"] }) {
  const tokens = useGet("/api/v1/tokens", me.admin ? { user: "*" } : {});
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState("");
  const change = useChange();
  return (
    <section className="section" aria-label="Tokens">
      <div className="toolbar bare">
        <button type="button" className="button main" onClick={() => setAdding(true)}>
          Make a token
        </button>
        <span className="quiet">Programs and drivers log in with one: HEADRACE_TOKEN.</span>
      </div>
      {made && (
        <div className="run-note" role="alert">
          <p>This is shown once. Keep it where programs find it, and nowhere else.</p>
          <Command text={made} />
          <button type="button" className="button quiet" onClick={() => setMade("")}>
            I have it
          </button>
        </div>
      )}
      <Shown query={tokens}>
        {(found) =>
          found.items.length === 0 ? (
            <Empty title="No tokens" command={`headrace login ${window.location.origin}`} />
          ) : (
            <div className="scroll-x" tabIndex={0} role="group" aria-label="Table of tokens">
              <table className="plain-table">
                <thead>
                  <tr>
                    <th scope="col">Token</th>
                    <th scope="col">User</th>
                    <th scope="col">May</th>
                    <th scope="col">Used</th>
                    <th scope="col">Expires</th>
                    <th scope="col">
                      <span className="hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {found.items.map((one) => (
                    <tr key={one.id}>
                      <td>
                        {one.name} {one.state !== "valid" && <span className="chip">{one.state}</span>}
                      </td>
                      <td>{one.user}</td>
                      <td className="quiet">
                        {one.role} of {one.project || "all projects"}
                        {one.run !== null && `, run ${one.run} alone`}
                      </td>
                      <td>{one.last_used ? <Time at={one.last_used} /> : <span className="quiet">never</span>}</td>
                      <td>{one.expires ? <Time at={one.expires} /> : <span className="quiet">never</span>}</td>
                      <td className="right">
                        {one.state === "valid" && (
                          <button type="button" className="button danger" onClick={() => void change("DELETE", address("/api/v1/tokens/{token}", { token: one.id }), undefined, `${one.name} is revoked`)}>
                            Revoke
                          </button>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Shown>
      <Dialog title="Make a token" open={adding} onClose={() => setAdding(false)}>
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            const data = new FormData(event.currentTarget);
            const days = Number(data.get("days"));
            const body = { name: String(data.get("name") ?? "").trim(), role: String(data.get("role")), ...(data.get("project") ? { project: String(data.get("project")) } : {}), ...(days > 0 ? { seconds: days * 86400 } : {}) };
            void change("POST", "/api/v1/tokens", body, "The token is made").then((answer) => {
              if (!answer) return;
              setAdding(false);
              setMade((answer as { token: string }).token);
            });
          }}
        >
          <label>
            Name: what it is for
            <input className="field" name="name" required autoComplete="off" autoFocus />
          </label>
          <label>
            Role
            <select className="field" name="role" defaultValue="editor">
              <option value="viewer">viewer</option>
              <option value="editor">editor</option>
              <option value="admin">admin</option>
            </select>
          </label>
          <label>
            Project (empty: all of yours)
            <input className="field" name="project" autoComplete="off" />
          </label>
          <label>
            Valid for days
            <input className="field" name="days" type="number" min="1" max="3650" defaultValue="90" />
          </label>
          <button type="submit" className="button main">
            Make
          </button>
        </form>
      </Dialog>
    </section>
  );
}
