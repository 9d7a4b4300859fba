/** Requests to the API, typed by its OpenAPI document. */
import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

type Gets = { [P in keyof paths]: paths[P] extends { get: object } ? P : never }[keyof paths];
type Operation<P extends Gets> = paths[P] extends { get: infer O } ? O : never;
type InPath<P extends Gets> = Operation<P> extends { parameters: { path: infer R } } ? R : unknown;
type InQuery<P extends Gets> =
  Operation<P> extends { parameters: { query?: infer R } } ? ([NonNullable<R>] extends [never] ? unknown : NonNullable<R>) : unknown;
type Answer<P extends Gets> =
  Operation<P> extends { responses: { 200: { content: { "application/json": infer R } } } } ? R : never;
export type Wanted<P extends Gets> = InPath<P> & InQuery<P>;
export type { Gets, Answer };

/** An error that the server explained (RFC 9457), or that there was no answer (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly requestId = "",
    readonly kind = "",
  ) {
    super(detail || title);
  }
}

/** The address of a route; what `wanted` has beyond the names in the path becomes the query. */
export function address(path: string, wanted: Record<string, unknown> = {}): string {
  const rest = { ...wanted };
  const filled = path.replace(/\{(\w+)(?::\w+)?\}/g, (_, name: string) => {
    const value = String(rest[name] ?? "");
    delete rest[name];
    return name === "path" ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value);
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || value === null || value === "") continue;
    if (Array.isArray(value)) for (const one of value) query.append(name, String(one));
    else query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

async function failure(response: Response): Promise<ApiError> {
  const type = response.headers.get("content-type") ?? "";
  if (type.includes("json")) {
    try {
      const problem = (await response.json()) as Record<string, unknown>;
      const text = (name: string): string => (typeof problem[name] === "string" ? (problem[name] as string) : "");
      const kind = text("type").split(":").pop() ?? "";
      return new ApiError(response.status, text("title"), text("detail"), text("request_id"), kind);
    } catch {
      // Said below, by its status.
    }
  }
  return new ApiError(response.status, response.statusText || `HTTP ${response.status}`, "");
}

async function answered(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer", "It may be stopped or restarting; this page tries again.");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function get<P extends Gets>(path: P, wanted: Wanted<P>, signal?: AbortSignal): Promise<Answer<P>> {
  const url = address(path, wanted as Record<string, unknown>);
  const response = await answered(url, signal ? { signal } : {});
  return (await response.json()) as Answer<P>;
}

export async function text(url: string, signal?: AbortSignal): Promise<string> {
  return (await answered(url, signal ? { signal } : {})).text();
}

/** Change something. The header is one that a form of another site cannot send. */
export async function send<R = unknown>(method: string, url: string, body?: unknown): Promise<R> {
  const headers: Record<string, string> = { "X-CSRF-Token": await csrf() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await answered(url, init);
  } catch (error) {
    if (!(error instanceof ApiError) || error.kind !== "csrf") throw error;
    token = undefined; // another session began in another window
    response = await answered(url, { ...init, headers: { ...headers, "X-CSRF-Token": await csrf() } });
  }
  const content = await response.text();
  return (content ? JSON.parse(content) : undefined) as R;
}

let token: Promise<string> | undefined;
/** The token against forged requests, as the session says it; empty where there are no accounts. */
function csrf(): Promise<string> {
  token ??= get("/api/v1/session", {}).then(
    (session) => session.csrf,
    (error: unknown) => {
      token = undefined;
      throw error;
    },
  );
  return token;
}

/** The page on which one logs in; it leads back here. */
export function loginAddress(): string {
  return `/login?next=${encodeURIComponent(window.location.pathname + window.location.search)}`;
}

export interface GetOptions {
  /** Ask again after so many seconds. */
  every?: number | false;
  enabled?: boolean;
  /** Show the answer before until this one is there. */
  keep?: boolean;
  /** Never changes: ask once. */
  fixed?: boolean;
}

export function useGet<P extends Gets>(
  path: P,
  wanted: Wanted<P>,
  options: GetOptions = {},
): UseQueryResult<Answer<P>, ApiError> {
  return useQuery<Answer<P>, ApiError>({
    queryKey: [path, wanted],
    queryFn: ({ signal }) => get(path, wanted, signal),
    refetchInterval: options.every ? options.every * 1000 : false,
    enabled: options.enabled ?? true,
    ...(options.keep ? { placeholderData: keepPreviousData as never } : {}),
    ...(options.fixed ? { staleTime: Infinity } : {}),
  });
}

export const RUN = "/api/v1/projects/{project}/runs/{flow}/{number}" as const;
