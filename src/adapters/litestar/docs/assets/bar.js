"use strict";
// The bar above each page: a credential may be given, and the document is then the one for its holder.
// It is kept in this page's memory only.
(() => {
  const make = (tag, text, cls) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (cls) element.className = cls;
    return element;
  };
  const credential = { kind: "key", value: "" };
  const fields = () => {
    if (!credential.value) return {};
    return credential.kind === "key"
      ? { "X-API-Key": credential.value }
      : { Authorization: "Bearer " + credential.value };
  };
  const note = document.getElementById("note");
  let asked = 0;
  const load = async () => {
    const mine = ++asked;
    note.textContent = "Reading the document ...";
    try {
      const answer = await fetch("/openapi.json", { headers: fields(), credentials: "same-origin" });
      if (mine !== asked) return;
      if (!answer.ok) {
        note.textContent = answer.status === 401 ? "The credential is not good." : "The document could not be read: " + answer.status;
        return;
      }
      const text = await answer.json();
      note.textContent = credential.value ? "Shown: what this credential may call." : "";
      document.title = text.info.title;
      window.showDocument(text, { ...credential, fields: fields() });
    } catch (error) {
      note.textContent = "The document could not be read: " + error;
    }
  };
  const form = document.getElementById("credential");
  const kind = make("select");
  kind.setAttribute("aria-label", "Kind of credential");
  for (const [value, text] of [["key", "API key"], ["token", "Token"]]) {
    const option = make("option", text);
    option.value = value;
    kind.append(option);
  }
  const value = make("input");
  value.type = "password";
  value.id = "credential-value";
  value.autocomplete = "off";
  value.placeholder = "Your credential";
  value.setAttribute("aria-label", "Credential");
  const use = make("button", "Use");
  form.append(kind, value, use);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    credential.kind = kind.value;
    credential.value = value.value.trim();
    load();
  });
  window.makeElement = make;
  window.addEventListener("DOMContentLoaded", load);
})();
