"use strict";
// The built-in page: the whole reference in a few kilobytes, with nothing from elsewhere.
(() => {
  const make = window.makeElement;
  const METHODS = ["get", "query", "post", "put", "patch", "delete", "head", "options"];
  let root = {}, credential = { fields: {} };

  const at = (reference) =>
    reference.slice(2).split("/").reduce((node, part) =>
      node && node[decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~")], root);
  const resolve = (node) => {
    for (let i = 0; node && node.$ref && i < 20; i++) node = node.$ref.startsWith("#/") ? at(node.$ref) : {};
    return node || {};
  };
  const nameOf = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");

  // Markdown, as much as introductions need: headings, lists, code, paragraphs, `code`, **bold**, [links](https://...).
  const inline = (text, into) => {
    for (const part of text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)\s]+\))/)) {
      const link = /^\[([^\]]+)\]\(((?:https?:\/\/|\/|#|mailto:)[^)\s]*)\)$/.exec(part);
      if (link) { const a = make("a", link[1]); a.href = link[2]; a.rel = "noopener"; into.append(a); }
      else if (/^`.+`$/.test(part)) into.append(make("code", part.slice(1, -1)));
      else if (/^\*\*.+\*\*$/.test(part)) into.append(make("strong", part.slice(2, -2)));
      else into.append(part);
    }
    return into;
  };
  const prose = (text) => {
    const box = make("div", "", "prose");
    for (const block of text.replace(/\r/g, "").split(/\n{2,}/)) {
      const heading = /^(#{1,4})\s+(.*)$/.exec(block.split("\n")[0]);
      if (block.startsWith("```")) box.append(make("pre", block.replace(/^```.*\n?|\n?```$/g, "")));
      else if (heading) {
        box.append(make("h" + Math.min(heading[1].length + 1, 5), heading[2]));
        const rest = block.split("\n").slice(1).join("\n");
        if (rest) box.append(prose(rest));
      } else if (/^[-*]\s/.test(block)) {
        const list = make("ul");
        for (const line of block.split("\n")) list.append(inline(line.replace(/^[-*]\s+/, ""), make("li")));
        box.append(list);
      } else box.append(inline(block.replace(/\n/g, " "), make("p")));
    }
    return box;
  };

  const typeOf = (schema) => {
    schema = resolve(schema);
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
    for (const word of ["oneOf", "anyOf"]) if (schema[word]) return schema[word].map(typeOf).join(" or ");
    if (schema.type === "array") return "list of " + (nameOf(schema.items) || typeOf(schema.items));
    return [].concat(schema.type || "any").join(" or ") + (schema.format ? " (" + schema.format + ")" : "");
  };
  const flat = (schema) => {
    schema = resolve(schema);
    if (!schema.allOf) return schema;
    const made = { ...schema, properties: { ...schema.properties }, required: [...(schema.required || [])] };
    for (const part of schema.allOf.map(flat)) {
      Object.assign(made.properties, part.properties);
      made.required.push(...(part.required || []));
    }
    return made;
  };
  const members = (schema, depth) => {
    schema = flat(schema);
    if (schema.type === "array") return members(schema.items, depth);
    const table = make("table");
    for (const [name, property] of Object.entries(schema.properties || {})) {
      const row = make("tr"), cell = make("td");
      row.append(make("td", name + ((schema.required || []).includes(name) ? " *" : ""), "name"), make("td", nameOf(property) || typeOf(property), "type"));
      cell.append(inline(resolve(property).description || "", make("span")));
      const below = flat(property.items || property);
      if (depth < 3 && below.properties) cell.append(members(property, depth + 1));
      row.append(cell);
      table.append(row);
    }
    return table;
  };
  const sample = (schema, depth = 0) => {
    schema = flat(schema);
    if (schema.examples && schema.examples.length) return schema.examples[0];
    for (const word of ["example", "default", "const"]) if (schema[word] !== undefined) return schema[word];
    if (schema.enum) return schema.enum[0];
    for (const word of ["oneOf", "anyOf"]) if (schema[word]) return sample(schema[word][0], depth + 1);
    const kind = [].concat(schema.type || (schema.properties ? "object" : "string"))[0];
    if (depth > 6) return null;
    if (kind === "object") return Object.fromEntries(Object.entries(schema.properties || {})
      .filter(([, property]) => !resolve(property).readOnly).map(([name, property]) => [name, sample(property, depth + 1)]));
    if (kind === "array") return [sample(schema.items, depth + 1)];
    return { integer: schema.minimum || 0, number: schema.minimum || 0, boolean: true, null: null }[kind] ?? "text";
  };
  const exampleOf = (media) => {
    if (media.example !== undefined) return media.example;
    const first = Object.values(media.examples || {})[0];
    return first && resolve(first).value !== undefined ? resolve(first).value : sample(media.schema || {});
  };

  const tryIt = (path, method, operation) => {
    const form = make("form", "", "try"), inputs = [];
    const parameters = (operation.parameters || []).map(resolve);
    for (const parameter of parameters) {
      const label = make("label", parameter.name + (parameter.required ? " *" : ""));
      const input = make("input");
      input.name = parameter.name;
      const schema = resolve(parameter.schema);
      if (schema.const !== undefined) input.value = schema.const;
      input.placeholder = typeOf(parameter.schema);
      label.append(input);
      form.append(label);
      inputs.push([parameter, input]);
    }
    const content = resolve(operation.requestBody).content || {};
    const kinds = Object.keys(content);
    let body = null;
    if (kinds.length) {
      const label = make("label", "Body, " + kinds[0]);
      body = make("textarea");
      body.rows = 8;
      const shown = exampleOf(content[kinds[0]]);
      body.value = typeof shown === "string" ? shown : JSON.stringify(shown, null, 2);
      label.append(body);
      form.append(label);
    }
    const send = make("button", "Send"), out = make("pre", "", "answer");
    out.hidden = true;
    form.append(send);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      let target = path;
      const query = new URLSearchParams(), headers = { ...credential.fields };
      for (const [parameter, input] of inputs) {
        if (parameter.in === "path") target = target.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
        else if (input.value === "") continue;
        else if (parameter.in === "query") query.append(parameter.name, input.value);
        else if (parameter.in === "header") headers[parameter.name] = input.value;
      }
      if (body) headers["Content-Type"] = kinds[0];
      out.hidden = false;
      out.textContent = "...";
      try {
        const began = performance.now();
        const answer = await fetch(target + (query.size ? "?" + query : ""), { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
        const text = await answer.text();
        let shown = text;
        try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
        const fields = [...answer.headers].map(([name, value]) => name + ": " + value).join("\n");
        out.textContent = answer.status + "  " + Math.round(performance.now() - began) + " ms\n" + fields + "\n\n" + shown.slice(0, 20000);
        out.dataset.status = answer.status;
      } catch (error) { out.textContent = String(error); }
    });
    const box = make("div");
    box.append(form, out);
    return box;
  };

  const show = (path, method, operation) => {
    const box = make("details", "", "operation " + method), head = make("summary");
    box.id = operation.operationId || method + path;
    head.append(make("span", method.toUpperCase(), "verb"), make("code", path), make("span", operation.summary || "", "about"));
    if (operation.deprecated) head.append(make("span", "deprecated" + (operation["x-sunset"] ? ", ends " + operation["x-sunset"] : ""), "deprecated"));
    box.append(head);
    box.addEventListener("toggle", () => {
      if (box.childElementCount > 1) return;
      if (operation.description) box.append(prose(operation.description));
      const needed = (operation.security || []).map((one) => Object.entries(one).map(([name, scopes]) => name + (scopes.length ? " (" + scopes.join(", ") + ")" : "")).join(" and ") || "nothing");
      if (needed.length && needed.join() !== "nothing") box.append(make("p", "Credential: " + needed.join(", or "), "needs"));
      const parameters = (operation.parameters || []).map(resolve);
      if (parameters.length) {
        const table = make("table");
        for (const parameter of parameters) {
          const row = make("tr");
          row.append(make("td", parameter.name + (parameter.required ? " *" : ""), "name"), make("td", parameter.in), make("td", typeOf(parameter.schema), "type"), inline(parameter.description || "", make("td")));
          table.append(row);
        }
        box.append(make("h4", "Parameters"), table);
      }
      for (const [kind, media] of Object.entries(resolve(operation.requestBody).content || {})) box.append(make("h4", "Body, " + kind), members(media.schema || {}, 0));
      box.append(make("h4", "Answers"));
      for (const [status, response] of Object.entries(operation.responses || {})) {
        const answer = resolve(response), line = make("details", "", "status"), top = make("summary");
        top.append(make("code", status), inline(answer.description || "", make("span", "", "about")));
        line.append(top);
        for (const [kind, media] of Object.entries(answer.content || {})) line.append(make("p", kind + "  " + nameOf(media.schema)), members(media.schema || {}, 0));
        box.append(line);
      }
      box.append(make("h4", "Try it"), tryIt(path, method, operation));
    });
    return box;
  };

  window.showDocument = (text, given) => {
    root = text;
    credential = given;
    const page = document.getElementById("page");
    page.replaceChildren(make("h1", text.info.title));
    if (text.info.description) page.append(prose(text.info.description));
    const groups = new Map((text.tags || []).map((tag) => [tag.name, tag.description || ""]));
    const calls = [];
    for (const [path, item] of Object.entries(text.paths || {})) for (const method of METHODS) if (item[method]) calls.push([path, method, item[method]]);
    for (const [, , operation] of calls) for (const tag of operation.tags || []) if (!groups.has(tag)) groups.set(tag, "");
    const find = make("input", "", "find");
    find.type = "search";
    find.placeholder = "Find a path or word";
    find.setAttribute("aria-label", "Find");
    page.append(find);
    const shown = [];
    for (const [tag, about] of groups) {
      const held = calls.filter(([, , operation]) => (operation.tags || [""])[0] === tag);
      if (!held.length) continue;
      const section = make("section");
      section.append(make("h2", tag));
      if (about) section.append(prose(about));
      for (const call of held) {
        const box = show(...call);
        shown.push([box, (call[0] + " " + (call[2].summary || "")).toLowerCase(), section]);
        section.append(box);
      }
      page.append(section);
    }
    find.addEventListener("input", () => {
      const word = find.value.toLowerCase();
      for (const [box, said] of shown) box.hidden = !said.includes(word);
      for (const section of page.querySelectorAll("section")) section.hidden = ![...section.querySelectorAll(".operation")].some((box) => !box.hidden);
    });
    if (!calls.length) page.append(make("p", "Nothing is shown without a credential."));
  };
})();
