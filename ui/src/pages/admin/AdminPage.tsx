/** Users and their roles, tokens, the audit log, and what the store holds. */
import { Link } from "wouter";
import { useSession } from "../../parts/Account";
import { useProject } from "../../parts/Shell";
import { Empty, Shown } from "../../parts/Bits";
import { useTitle } from "../../lib/title";
import { Audit } from "./Audit";
import { Storage } from "./Storage";
import { Tokens } from "./Tokens";
import { Users } from "./Users";

const TABS = { users: "Users", tokens: "Tokens", audit: "Audit", storage: "Storage" } as const;

export default function AdminPage({ tab }: { tab: string }) {
  useTitle("Admin");
  const session = useSession();
  const project = useProject();
  return (
    <>
      <h1 className="hidden">Administration</h1>
      <nav className="tabs admin-tabs" aria-label="Parts of the administration">
        {Object.entries(TABS).map(([key, title]) => (
          <Link key={key} href={`/admin/${key}`} {...(key === tab ? { "aria-current": "page" as const } : {})}>
            {title}
          </Link>
        ))}
      </nav>
      <div className="tab-body">
        <Shown query={session}>
          {(me) => {
            if (tab === "storage") return <Storage project={project} />;
            if (me.auth === "none") {
              return (
                <Empty title="This server has no accounts" command="headrace server --auth users">
                  It listens on this machine alone, and whoever reaches it is {me.user}, an admin. With accounts, a team shares it:
                </Empty>
              );
            }
            if (tab === "tokens") return <Tokens me={me} />;
            if (!me.admin) return <Empty title="This is for admins of the server">{me.user} is not one of them. Any of them may give that role.</Empty>;
            if (tab === "audit") return <Audit />;
            return <Users />;
          }}
        </Shown>
      </div>
    </>
  );
}
