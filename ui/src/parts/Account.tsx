/** Who is logged in; nothing where the server has no accounts. */
export function Account() {
  return null;
}
