/** What can be done to a run. What can be undone is done at once, and undone from the line at the bottom. */
import { useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useLocation } from "wouter";
import { address, ApiError, RUN, send } from "../../api/client";
import { useMay } from "../../parts/Account";
import { CopyButton, Dialog } from "../../parts/Bits";
import { Menu, MenuAction, MenuLabel } from "../../parts/Menu";
import { useToast } from "../../parts/Toast";
import { ResumeButton, RetryDialog, StartDialog } from "./Drivers";
import { useRun } from "./useRun";

export function Actions({ icon }: { icon: ReactNode }) {
  const { at, name, view, live } = useRun();
  const queries = useQueryClient();
  const toast = useToast();
  const [, navigate] = useLocation();
  const [dialog, setDialog] = useState<"" | "start" | "retry" | "rename" | "tag">("");
  const close = () => setDialog("");
  const may = useMay(at.project);
  const act: Act = async (path, body, query = {}, method = "POST") => {
    try {
      await send(method, address(`${RUN}${path}`, { ...at, ...query }), body);
      await queries.invalidateQueries();
      return true;
    } catch (error) {
      toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true });
      return false;
    }
  };
  const copy = (text: string) => void navigator.clipboard?.writeText(text).then(() => toast({ text: `Copied: ${text}` }));
  const remove = async () => {
    if (!(await act("/delete"))) return;
    navigate(`/p/${encodeURIComponent(at.project)}/runs`);
    toast({ text: `${name} is deleted`, undo: () => void act("/restore") });
  };
  const mark = async (path: "/pin" | "/archive", on: boolean, said: string) => {
    if (await act(path, undefined, { on })) toast({ text: `${name} ${said}`, undo: () => void act(path, undefined, { on: !on }) });
  };
  const cancel = async () => {
    if (await act("/cancel")) toast({ text: `${name} was asked to stop` });
  };
  const stopped = ["failed", "crashed", "interrupted", "cancelled"].includes(view.run.state);
  const commands = live ? [`headrace logs ${name} --follow`, `headrace show ${name}`] : [`headrace resume ${name}`, `headrace show ${name}`, `headrace reproduce ${name}`];
  return (
    <span className="actions">
      {live && may.change && (
        <button type="button" className="button danger" onClick={() => void cancel()}>
          Cancel
        </button>
      )}
      {stopped && may.start && <ResumeButton />}
      {stopped && !may.start && (
        <CopyButton text={`headrace resume ${name}`} what="the command that resumes the run">
          headrace resume
        </CopyButton>
      )}
      <Menu label="More" button={icon} end plain>
        {may.change && (
          <>
            {may.start && <MenuAction onSelect={() => setDialog("start")}>New run with other parameters…</MenuAction>}
            {may.start && !live && <MenuAction onSelect={() => setDialog("retry")}>Run steps again…</MenuAction>}
            <MenuAction onSelect={() => setDialog("rename")}>Name…</MenuAction>
            <MenuAction onSelect={() => setDialog("tag")}>Tag…</MenuAction>
            {view.run.pinned ? (
              <MenuAction onSelect={() => void mark("/pin", false, "is pinned no more")}>Unpin</MenuAction>
            ) : (
              <MenuAction onSelect={() => void mark("/pin", true, "is pinned: it is kept until it is unpinned")}>Pin</MenuAction>
            )}
            {view.run.archived ? (
              <MenuAction onSelect={() => void mark("/archive", false, "is in the list of runs again")}>Take out of the archive</MenuAction>
            ) : (
              <MenuAction onSelect={() => void mark("/archive", true, "is archived: lists leave it out")}>Archive</MenuAction>
            )}
            {!live && (
              <MenuAction onSelect={() => void remove()} danger>
                Delete
              </MenuAction>
            )}
          </>
        )}
        <MenuLabel>Copy a command</MenuLabel>
        {commands.map((one) => (
          <MenuAction key={one} onSelect={() => copy(one)}>
            <code>{one}</code>
          </MenuAction>
        ))}
      </Menu>
      <StartDialog open={dialog === "start"} onClose={close} />
      <RetryDialog open={dialog === "retry"} onClose={close} />
      <Dialog title={`Name ${name}`} open={dialog === "rename"} onClose={close}>
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            const text = String(new FormData(event.currentTarget).get("name") ?? "").trim();
            void act("/rename", { name: text }).then((done) => done && close());
          }}
        >
          <label>
            What people call it (empty: nothing but {name})
            <input className="field" name="name" maxLength={100} defaultValue={view.run.tags["name"] ?? ""} autoFocus />
          </label>
          <button type="submit" className="button main">
            Name
          </button>
        </form>
      </Dialog>
      <TagDialog open={dialog === "tag"} close={close} act={act} />
    </span>
  );
}

type Act = (path: string, body?: unknown, query?: Record<string, unknown>, method?: string) => Promise<boolean>;

function TagDialog({ open, close, act }: { open: boolean; close: () => void; act: Act }) {
  const { name, view } = useRun();
  const tags = Object.keys(view.run.tags);
  return (
    <Dialog title={`Tag ${name}`} open={open} onClose={close}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const data = new FormData(event.currentTarget);
          const [tag = "", ...value] = String(data.get("tag") ?? "").trim().split("=");
          if (tag) void act("/tags/{name}", { value: value.join("=") }, { name: tag }, "PUT").then((done) => done && close());
        }}
      >
        <label>
          Name, or name=value
          <input className="field" name="tag" required maxLength={200} autoFocus />
        </label>
        {tags.length > 0 && (
          <p className="sources">
            {tags.map((tag) => (
              <button key={tag} type="button" className="button" onClick={() => void act("/tags/{name}", undefined, { name: tag }, "DELETE")} aria-label={`Remove tag ${tag}`}>
                {tag} ×
              </button>
            ))}
          </p>
        )}
        <button type="submit" className="button main">
          Tag
        </button>
      </form>
    </Dialog>
  );
}
