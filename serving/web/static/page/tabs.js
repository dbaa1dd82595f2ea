// Tabs by the pattern of WAI-ARIA: arrow keys move between them, and the panel in front is shown.

import { button } from "./dom.js";

/** Shows a tab for each {name, panel}; with a single one there is nothing to choose. */
export function makeTabs(list, tabs) {
  const buttons = tabs.map(({ name, panel }, index) => {
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-label", name);
    const made = button(name, () => select(index), { role: "tab", "aria-controls": panel.id });
    made.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) select((index + step + tabs.length) % tabs.length);
    };
    return made;
  });
  const select = (chosen) => {
    tabs.forEach(({ panel }, index) => {
      panel.hidden = index !== chosen;
      buttons[index].setAttribute("aria-selected", index === chosen);
      buttons[index].tabIndex = index === chosen ? 0 : -1;
    });
    if (list.contains(document.activeElement)) buttons[chosen].focus();
  };
  list.replaceChildren(...buttons);
  list.hidden = tabs.length < 2;
  select(0);
}
