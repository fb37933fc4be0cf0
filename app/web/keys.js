// Keys of a rater's page that Streamlit has none for. Loaded once a page, from this server; knows nothing of answers.
(() => {
  if (window.headscribeKeys) return;
  window.headscribeKeys = true;
  const dialog = () => document.querySelector('[role="dialog"]');
  const isText = (element) => element.matches?.('input, textarea, [contenteditable="true"]');
  const SCROLLS = {
    ArrowDown: () => ({ top: 40 }),
    ArrowUp: () => ({ top: -40 }),
    ArrowRight: () => ({ left: 40 }),
    ArrowLeft: () => ({ left: -40 }),
    PageDown: (box) => ({ top: box.clientHeight * 0.9 }),
    PageUp: (box) => ({ top: -box.clientHeight * 0.9 }),
    Home: (box) => ({ top: -box.scrollHeight }),
    End: (box) => ({ top: box.scrollHeight }),
  };
  window.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target;
    if (dialog()) {
      // What stands behind an open dialog takes no key; within it Tab, Esc and those that scroll do as always.
      if (event.key.length === 1 && !isText(target)) event.stopImmediatePropagation();
      return;
    }
    if (isText(target)) {
      // After Streamlit has taken what was written, the keys are the page's again.
      if (event.key === 'Enter' || event.key === 'Escape') setTimeout(() => target.blur(), 0);
      return;
    }
    const table = document.querySelector('.hs-scroll');
    if (table && SCROLLS[event.key] && !target.closest?.('.hs-description')) {
      table.scrollBy(SCROLLS[event.key](table));
      event.preventDefault();
    }
  }, true);
})();
