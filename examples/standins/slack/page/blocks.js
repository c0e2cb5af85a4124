"use strict";
// Block Kit → HTML, as far as an app here may use it.

function textOf(found, names) {
  if (!found) return "";
  return found.type === "plain_text" ? html(plain(found.text)).replaceAll("\n", "<br>") : mrkdwn(found.text, names);
}

function button(element, block, where, label) {
  const data = html(JSON.stringify({ ...where, block_id: block, action_id: element.action_id }));
  const confirm = element.confirm ? ` data-confirm="${html(JSON.stringify(element.confirm))}"` : "";
  if (element.url) return `<a class="button" href="${html(element.url)}" target="_blank" rel="noreferrer">${label}</a>`;
  return `<button type="button" class="button ${element.style || ""}" data-click="${data}"${confirm}>${label}</button>`;
}

function element(found, block, where, names) {
  if (found.type === "button") return button(found, block, where, textOf(found.text, names));
  if (found.type === "mrkdwn" || found.type === "plain_text") return `<span>${textOf(found, names)}</span>`;
  if (found.type === "image") return `<img src="${html(found.image_url)}" alt="${html(found.alt_text || "")}">`;
  return `<em>${html(found.type)}</em>`;
}

function input(block, id) {
  const found = block.element;
  const name = html(JSON.stringify({ block: id, action: found.action_id, type: found.type }));
  const value = html(found.initial_value || "");
  let field = `<input data-field="${name}" value="${value}">`;
  if (found.multiline) field = `<textarea data-field="${name}" rows="4">${value}</textarea>`;
  if (found.type === "static_select") {
    const options = found.options.map((each) => `<option value="${html(each.value)}">${textOf(each.text, {})}</option>`);
    field = `<select data-field="${name}">${options.join("")}</select>`;
  }
  const hint = block.hint ? `<small>${textOf(block.hint, {})}</small>` : "";
  return `<label>${textOf(block.label, {})}${field}${hint}<small class="wrong" data-wrong="${html(id)}"></small></label>`;
}

// where: the message (channel, ts) or the view that the blocks stand in.
function blocks(list, where, names) {
  return list.map((block, number) => {
    const id = block.block_id || `b${number}`;
    const inside = (found) => found.map((each) => element(each, id, where, names)).join("");
    switch (block.type) {
      case "header": return `<h3>${textOf(block.text, names)}</h3>`;
      case "divider": return "<hr>";
      case "context": return `<div class="context">${inside(block.elements)}</div>`;
      case "actions": return `<div class="actions">${inside(block.elements)}</div>`;
      case "image": return `<img src="${html(block.image_url)}" alt="${html(block.alt_text || "")}">`;
      case "input": return input(block, id);
      case "section": {
        const fields = (block.fields || []).map((each) => `<div>${textOf(each, names)}</div>`).join("");
        const words = `${textOf(block.text, names)}${fields ? `<div class="fields">${fields}</div>` : ""}`;
        return `<div class="section"><div>${words}</div>${block.accessory ? inside([block.accessory]) : ""}</div>`;
      }
      default: return `<em>${html(block.type)}</em>`;
    }
  }).join("");
}
