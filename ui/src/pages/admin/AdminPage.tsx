/** Users and their roles, tokens, the audit log, and what the store holds: to each what they may see of it. */
import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { useMay, useSession, type May } from "../../parts/Account";
import { useProject } from "../../parts/Shell";
import { Empty, Shown } from "../../parts/Bits";
import { useTitle } from "../../lib/title";
import { withQuery } from "../../lib/url";
import { Audit } from "./Audit";
import { Members } from "./Members";
import { Storage } from "./Storage";
import { Tokens } from "./Tokens";
import { Users } from "./Users";

type Session = Schemas["SessionView"];

interface Tab {
  title: string;
  may: (may: May) => boolean;
  /** What it needs, where somebody comes by a link. */
  needs: string;
  show: (me: Session, project: string, may: May) => React.ReactNode;
}

const TABS: Record<string, Tab> = {
  users: { title: "Users", may: (may) => may.administer, needs: "admins of the server", show: () => <Users /> },
  members: { title: "Members", may: (may) => may.manage, needs: "admins of the project", show: (_, project) => <Members key={project} project={project} /> },
  tokens: { title: "Tokens", may: () => true, needs: "", show: (me) => <Tokens me={me} /> },
  audit: { title: "Audit", may: (may) => may.manage, needs: "admins of the project", show: (_, project, may) => <Audit project={may.administer ? "" : project} /> },
  storage: { title: "Storage", may: (may) => may.administer, needs: "admins of the server", show: (_, project) => <Storage project={project} /> },
};

export default function AdminPage({ tab }: { tab: string }) {
  useTitle("Admin");
  const session = useSession();
  const project = useProject();
  const may = useMay(project);
  const open = Object.entries(TABS).filter(([, one]) => one.may(may));
  const now = tab || open[0]?.[0] || "tokens";
  return (
    <>
      <h1 className="hidden">Administration</h1>
      <nav className="tabs admin-tabs" aria-label="Parts of the administration">
        {open.map(([key, { title }]) => (
          <Link key={key} href={withQuery(`/admin/${key}`, { project })} {...(key === now ? { "aria-current": "page" as const } : {})}>
            {title}
          </Link>
        ))}
      </nav>
      <div className="tab-body">
        <Shown query={session}>{(me) => <Body me={me} tab={TABS[now]} name={now} project={project} may={may} />}</Shown>
      </div>
    </>
  );
}

function Body({ me, tab, name, project, may }: { me: Session; tab: Tab | undefined; name: string; project: string; may: May }) {
  if (!tab) return <Empty title={`The administration has no part called ${name}`} />;
  if (me.auth === "none" && name !== "storage") {
    return (
      <Empty title="This server has no accounts" command="headrace server --auth users">
        It listens on this machine alone, and whoever reaches it is {me.user}, an admin. With accounts, a team shares it:
      </Empty>
    );
  }
  if (!tab.may(may)) return <Empty title={`This is for ${tab.needs}`}>{me.user} is not one of them. Any of them may give that role.</Empty>;
  return tab.show(me, project, may);
}
