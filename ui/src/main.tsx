import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { ApiError, get, RUN } from "./api/client";
import { App } from "./app";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      refetchOnWindowFocus: true,
      // What the server refused stays refused; a server that is away is asked again.
      retry: (count, error) => count < 3 && (!(error instanceof ApiError) || error.status === 0 || error.status >= 502),
      retryDelay: (count) => Math.min(1500, 300 * 2 ** count),
    },
  },
});

// The run of the address is asked for while the scripts of its page load, not after them.
const run = /^\/p\/([^/]+)\/runs\/([^/]+)\/(\d+)(?:\/|$)/.exec(window.location.pathname);
if (run) {
  try {
    const at = { project: decodeURIComponent(run[1] ?? ""), flow: decodeURIComponent(run[2] ?? ""), number: Number(run[3]) };
    void queries.prefetchQuery({ queryKey: [RUN, at], queryFn: ({ signal }) => get(RUN, at, signal) });
  } catch {
    // An address that cannot be decoded: the page says so.
  }
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>,
  );
}
