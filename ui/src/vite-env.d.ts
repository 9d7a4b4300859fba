/// <reference types="vite/client" />
declare module "elkjs/lib/elk-api.js" {
  import type { ELK, ELKConstructorArguments } from "elkjs/lib/elk-api";
  const Made: new (args?: ELKConstructorArguments) => ELK;
  export default Made;
}
