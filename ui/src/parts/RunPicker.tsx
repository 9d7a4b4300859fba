/** Choose another run: the newest ones of the flow, or any by its name. */
import { useState } from "react";
import { useGet } from "../api/client";
import { Menu, MenuAction } from "./Menu";
import { StateMark } from "./State";
import type { RunRow } from "../pages/runs/useRuns";

interface Props {
  project: string;
  flow: string;
  not: string;
  value: string;
  onChange: (run: string) => void;
  empty: string;
}

export function RunPicker({ project, flow, not, value, onChange, empty }: Props) {
  const [typed, setTyped] = useState("");
  const runs = useGet("/api/v1/projects/{project}/runs", { project, flow, limit: 30 });
  const rows = ((runs.data?.items ?? []) as RunRow[]).filter((row) => row.name !== not);
  return (
    <>
      <Menu label="Another run" button={<span className="cut">{value || empty}</span>}>
        {value && <MenuAction onSelect={() => onChange("")}>{empty}</MenuAction>}
        {rows.map((row) => (
          <MenuAction key={row.name} onSelect={() => onChange(row.name)}>
            <StateMark state={row.state} /> {row.name}
          </MenuAction>
        ))}
      </Menu>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim()) onChange(typed.trim());
        }}
      >
        <input className="field run-field" aria-label="Name of another run" placeholder={`${flow}/…`} value={typed} onChange={(event) => setTyped(event.target.value)} />
      </form>
    </>
  );
}
