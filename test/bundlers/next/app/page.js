"use client";

/** Rendered on the server, where the package is imported, too; page.js starts its workers in the browser only. */
import { HVA_BAD } from "memslots";
import { useEffect } from "react";

export default function Page() {
  useEffect(() => {
    import("../page.js");
  }, []);
  return <output>{HVA_BAD}</output>;
}
