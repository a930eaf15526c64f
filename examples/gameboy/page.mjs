// The same in a page, served from a folder in which memslots is installed.
import { checkMap } from "./check.mjs";

for (const what of await checkMap()) {
  const item = document.createElement("li");
  item.textContent = what;
  document.querySelector("#passed").append(item);
}
