/** What a visitor is told before the page can be used, or when it cannot. */

import { PageError } from "./model.js";

document.documentElement.classList.add("running"); // the page's own words on missing scripts are not needed

/**
 * Show how much has been loaded.
 * @param {number} total bytes
 * @returns {(bytes: number) => void} to be told of bytes that have come
 */
export function loading(total) {
  let come = 0;
  return (bytes) => {
    come += bytes;
    const size = (number) => (number / 1e6).toFixed(1);
    document.getElementById("loading-words").textContent = `Loading: ${size(come)} of ${size(total)} MB`;
    document.getElementById("loading").value = Math.min(come / total, 1);
  };
}

/** All has come: show the page. */
export function ready() {
  document.getElementById("notice").hidden = true;
  for (const part of document.querySelectorAll("header, main")) part.hidden = false;
}

/** Say what went wrong. */
export function fail(error) {
  if (!(error instanceof PageError)) console.error(error);
  const notice = document.getElementById("notice");
  const words = document.createElement("p");
  words.textContent =
    error instanceof PageError ? error.message : `Something went wrong: ${error.message ?? error}. Reload the page.`;
  notice.setAttribute("role", "alert");
  notice.replaceChildren(words);
  notice.hidden = false;
  for (const part of document.querySelectorAll("header, main")) part.hidden = true;
}
