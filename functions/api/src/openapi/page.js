"use strict";
// Renders openapi.json. All text goes in as text, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const methods = ["get", "post", "put", "delete"];
  let named = {};
  const nameOf = (schema) => schema.$ref.split("/").pop();
  const resolve = (schema) => (schema.$ref ? named[nameOf(schema)] : schema);

  // A type in few words, such as "string or null, 1 to 200 characters".
  const kind = (schema) => {
    if (schema.$ref) {
      const target = resolve(schema);
      return target.enum ? target.enum.join(" | ") : nameOf(schema);
    }
    if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
    const types = [schema.type || "any"].flat();
    const words = types.map((type) => {
      if (type === "array") return `list of ${kind(schema.items)}`;
      if (schema.enum && type === "string") return schema.enum.filter((name) => name).join(" | ");
      return schema.format ? `${type} (${schema.format})` : type;
    });
    const range = (least, most, what) => {
      if (least === undefined && most === undefined) return "";
      if (most === undefined) return `, from ${least}${what}`;
      return `, ${least ?? 0} to ${most}${what}`;
    };
    return words.join(" or ") + range(schema.minimum, schema.maximum, "")
      + range(schema.minLength, schema.maxLength, " characters")
      + range(schema.minItems, schema.maxItems, " entries")
      + (schema.maxProperties ? `, at most ${schema.maxProperties}` : "")
      + (schema.default === undefined ? "" : `; ${JSON.stringify(schema.default)} if absent`);
  };

  const sample = (given) => {
    const schema = resolve(given);
    if (schema.examples) return schema.examples[0];
    if (schema.default !== undefined) return schema.default;
    if (schema.anyOf) return sample(schema.anyOf[0]);
    if (schema.enum) return schema.enum[0];
    switch ([schema.type].flat()[0]) {
      case "object": {
        const members = Object.entries(schema.properties || {});
        return Object.fromEntries(members.map(([name, member]) => [name, sample(member)]));
      }
      case "array": return [sample(schema.items)];
      case "boolean": return true;
      case "integer": return schema.minimum ?? 0;
      case "number": return 1.5;
      case "null": return null;
      default: return schema.format === "date-time" ? "2026-01-31T02:00:00Z" : schema.format === "date" ? "2026-01-31" : "…";
    }
  };

  const table = (heads, rows) => {
    const cells = (tag, texts) => make("tr", "", ...texts.map((text) => make(tag, "", text)));
    return make("table", "", make("thead", "", cells("th", heads)),
      make("tbody", "", ...rows.map((texts) => cells("td", texts))));
  };
  const code = (text) => make("code", "", text);

  // The members of an object, those of objects within it after it.
  const members = (schema, prefix = "") => {
    const target = resolve(schema);
    const needed = new Set(target.required || []);
    return Object.entries(target.properties || {}).flatMap(([name, member]) => {
      const inner = member.type === "array" ? member.items : member;
      const path = prefix + name;
      const row = [code(path), needed.has(name) ? "yes" : "", kind(member), member.description || ""];
      const deeper = !inner.$ref && inner.properties ? members(inner, `${path}${member.type === "array" ? "[]" : ""}.`) : [];
      return [row, ...deeper];
    });
  };

  const curl = (server, method, path, operation) => {
    const needed = (operation.parameters || []).filter((each) => each.in === "query" && each.required);
    const query = needed.map((each) => `${each.name}=${encodeURIComponent(sample(each.schema))}`).join("&");
    const body = operation.requestBody?.content["application/json"].schema;
    const lines = [`curl -X ${method.toUpperCase()} '${location.origin}${server}${path}${query ? `?${query}` : ""}'`];
    if (operation["x-required-role"] !== "anonymous") lines.push("-H \"Authorization: Bearer $TOKEN\"");
    if (body) {
      const target = resolve(body);
      const needs = target.required || Object.keys(target.properties).slice(0, 1);
      const shown = Object.fromEntries(needs.map((name) => [name, sample(target.properties[name])]));
      lines.push("-H 'content-type: application/json'", `-d '${JSON.stringify(shown)}'`);
    }
    return make("pre", "", lines.join(" \\\n  "));
  };

  const show = (server, method, path, operation) => {
    const inside = make("div", "inside");
    const parameters = operation.parameters || [];
    if (parameters.length) {
      const rows = parameters.map((each) => [
        code(each.name), each.in, each.required ? "yes" : "", kind(each.schema), each.description || "",
      ]);
      inside.append(make("h3", "", "Parameters"), table(["Name", "In", "Needed", "Type", ""], rows));
    }
    const body = operation.requestBody;
    if (body) {
      const schema = body.content["application/json"].schema;
      inside.append(make("h3", "", body.required ? "Body" : "Body (may be missing)"),
        table(["Member", "Needed", "Type", ""], members(schema)));
    }
    inside.append(make("h3", "", "Call"), curl(server, method, path, operation), make("h3", "", "Answers"));
    const answers = Object.entries(operation.responses).map(([status, answer]) => {
      const [type, { schema }] = Object.entries(answer.content)[0];
      return [code(status), answer.description, schema.$ref ? nameOf(schema) : type === "application/json" ? "see below" : type];
    });
    inside.append(table(["Status", "Meaning", "Body"], answers));
    for (const [status, answer] of Object.entries(operation.responses)) {
      const json = answer.content["application/json"];
      if (json && status < 300) {
        inside.append(make("h3", "", `Example of ${status}`), make("pre", "", JSON.stringify(sample(json.schema), null, 2)));
      }
    }
    const role = operation["x-required-role"];
    const summary = make("summary", "", make("span", `method ${method}`, method.toUpperCase()),
      make("span", "path", path), make("span", "", operation.summary), make("span", "role", role));
    const details = make("details", "", summary, inside);
    details.id = operation.operationId;
    details.dataset.words = `${method} ${path} ${operation.summary} ${role}`.toLowerCase();
    return details;
  };

  const render = (api) => {
    named = api.components.schemas;
    const server = api.servers[0].url.replace(/\/$/, "");
    byId("version").textContent = api.info.version;
    byId("about").textContent = api.info.description;
    byId("server").textContent = server || "/";
    const groups = new Map(api.tags.map((tag) => [tag.name, make("section", "", make("h2", "", tag.name))]));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of methods.filter((name) => item[name])) {
        groups.get(item[method].tags[0]).append(show(server, method, path, item[method]));
      }
    }
    const schemas = make("section", "", make("h2", "", "Schemas"));
    for (const [name, schema] of Object.entries(named)) {
      const inside = make("div", "inside", schema.properties
        ? table(["Member", "Always", "Type", ""], members(schema))
        : make("p", "", kind(schema)));
      const details = make("details", "", make("summary", "", make("span", "path", name)), inside);
      details.dataset.words = name.toLowerCase();
      schemas.append(details);
    }
    groups.set("Schemas", schemas);
    for (const [name, section] of groups) {
      section.id = `group-${name}`;
      const link = make("a", "", name);
      link.href = `#group-${name}`;
      byId("groups").append(link);
    }
    byId("operations").replaceChildren(...groups.values());
    const openNamed = () => {
      const target = byId(decodeURIComponent(location.hash.slice(1)));
      if (target) { target.open = true; target.scrollIntoView(); }
    };
    addEventListener("hashchange", openNamed);
    openNamed();
  };

  byId("find").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const section of byId("operations").querySelectorAll("section")) {
      let any = false;
      for (const each of section.querySelectorAll("details")) {
        const found = words.every((word) => each.dataset.words.includes(word));
        each.classList.toggle("hidden", !found);
        any ||= found;
      }
      section.classList.toggle("hidden", !any);
    }
  });

  fetch("openapi.json")
    .then((answer) => {
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return answer.json();
    })
    .then(render)
    .catch((error) => { byId("operations").textContent = `openapi.json could not be shown: ${error.message}`; });
})();
