// What the studio does in the browser: the picture viewer, the address of the opened finetune, and folds
// that remember themselves. No state of the work lives here: that is the services'.
(() => {
  const icons = {
    shut: 'M6 6l12 12M18 6L6 18',
    previous: 'M15 5l-7 7 7 7',
    following: 'M9 5l7 7-7 7',
  };
  const svg = (path) => `<svg class="fs-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" ` +
    `stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${path}"/></svg>`;

  let dialog, group = [], at = 0;

  function makeDialog() {
    dialog = document.createElement('dialog');
    dialog.className = 'fs-viewer';
    dialog.setAttribute('aria-label', 'Picture');
    dialog.innerHTML = `<figure><img alt=""></figure>
      <button type="button" class="fs-turn fs-previous" aria-label="Previous picture">${svg(icons.previous)}</button>
      <button type="button" class="fs-turn fs-following" aria-label="Next picture">${svg(icons.following)}</button>
      <button type="button" class="fs-shut" aria-label="Close">${svg(icons.shut)}</button>
      <footer><p><span></span><br><small></small></p>
      <button type="button" class="fs-button fs-again">Use these settings</button>
      <a class="fs-button fs-save" download>Download</a></footer>`;
    document.querySelector('.contain').append(dialog);
    dialog.querySelector('.fs-previous').onclick = () => show(at - 1);
    dialog.querySelector('.fs-following').onclick = () => show(at + 1);
    dialog.querySelector('.fs-shut').onclick = () => dialog.close();
    dialog.querySelector('figure').onclick = (event) => {
      if (event.target.tagName === 'IMG') event.target.toggleAttribute('data-pixels');
      else dialog.close();
    };
    dialog.querySelector('.fs-again').onclick = () => {
      const id = group[at].dataset.reuse;
      dialog.close();
      document.querySelector(`[data-act="reuse"][data-generation="${id}"]`)?.click();
      window.scrollTo({top: 0, behavior: 'smooth'});
    };
    dialog.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowLeft') show(at - 1);
      if (event.key === 'ArrowRight') show(at + 1);
    });
  }

  function show(index) {
    if (index < 0 || index >= group.length) return;
    at = index;
    const {view, says, facts, download, reuse} = group[at].dataset;
    const picture = dialog.querySelector('img');
    picture.removeAttribute('data-pixels');
    picture.src = view;
    picture.alt = says;
    dialog.querySelector('footer span').textContent = says;
    dialog.querySelector('footer small').textContent = facts || '';
    dialog.querySelector('.fs-again').style.display = reuse ? '' : 'none';
    dialog.querySelector('.fs-save').href = download || view;
    dialog.querySelector('.fs-previous').hidden = at === 0;
    dialog.querySelector('.fs-following').hidden = at === group.length - 1;
  }

  document.addEventListener('click', (event) => {
    const hit = event.target.closest?.('[data-view]');
    if (!hit) return;
    if (!dialog?.isConnected) makeDialog();
    group = [...(hit.closest('[data-viewer]') || hit.parentElement).querySelectorAll('[data-view]')];
    dialog.showModal();
    show(group.indexOf(hit));
  });

  // Files that together exceed what the server takes are refused before they travel, in the server's words.
  function refuseTooLarge(event, files) {
    const drop = event.target.closest?.('.fs-drop');
    const words = document.querySelector('template.fs-too-large');
    document.querySelectorAll('.fs-too-large-shown').forEach((shown) => shown.remove());
    if (!drop || !words || !files) return;
    const size = [...files].reduce((sum, file) => sum + file.size, 0);
    if (size <= Number(words.dataset.limit)) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    const shown = document.createElement('div');
    shown.className = 'fs-too-large-shown';
    shown.append(words.content.cloneNode(true));
    drop.after(shown);
    if (event.type === 'change') event.target.value = '';
  }
  document.addEventListener('change', (event) => refuseTooLarge(event, event.target.files), true);
  document.addEventListener('click', (event) => {
    if (event.target.closest?.('[data-act]')) document.querySelector('.fs-too-large-shown')?.remove();
  }, true);
  document.addEventListener('drop', (event) => refuseTooLarge(event, event.dataTransfer?.files), true);

  // What cannot be undone asks once more, in its own place; the question goes away by itself.
  document.addEventListener('click', (event) => {
    const hit = event.target.closest?.('[data-ask]');
    if (!hit || hit.classList.contains('fs-armed')) return;
    event.stopPropagation();
    const words = hit.textContent;
    hit.textContent = hit.dataset.ask;
    hit.classList.add('fs-armed');
    setTimeout(() => { hit.textContent = words; hit.classList.remove('fs-armed'); }, 4000);
  }, true);

  // Folds called "Advanced" stay as they were left, page by page.
  document.addEventListener('click', (event) => {
    const fold = event.target.closest?.('.fs-advanced');
    const button = fold?.querySelector(':scope > button');
    if (!event.isTrusted || !button?.contains(event.target)) return;
    setTimeout(() => localStorage.setItem(fold.id, button.classList.contains('open') ? '1' : ''), 50);
  });
  function reopen(fold, tries) {
    const button = fold.querySelector(':scope > button');
    if (!tries || !button || button.classList.contains('open') || !localStorage.getItem(fold.id)) return;
    button.click();  // heard only once Gradio has made the page its own, hence the tries
    setTimeout(() => reopen(fold, tries - 1), 300);
  }
  // What was unfolded inside a part stays so when the part is drawn anew.
  const unfolded = new Set();
  document.addEventListener('toggle', (event) => {
    const key = event.target.dataset?.fold;
    if (key) unfolded[event.target.open ? 'add' : 'delete'](key);
  }, true);
  const seen = new WeakSet();
  new MutationObserver(() => {
    for (const fold of document.querySelectorAll('.fs-advanced')) {
      if (seen.has(fold)) continue;
      seen.add(fold);
      setTimeout(() => reopen(fold, 20), 300);
    }
    for (const fold of document.querySelectorAll('details[data-fold]:not([open])')) {
      fold.open = unfolded.has(fold.dataset.fold);
    }
    const title = document.querySelector('.fs-title h1')?.textContent;
    if (title && document.title !== `${title} · fluxsmith`) document.title = `${title} · fluxsmith`;
  }).observe(document.documentElement, {childList: true, subtree: true});

  // What is opened is in the address, so that a reload or another device opens the same.
  function remember(name, card) {
    const address = new URL(location.href);
    if (card) address.searchParams.set(name, card.dataset[name]);
    else address.searchParams.delete(name);
    history.replaceState(history.state, '', address);
    if (card && card.getBoundingClientRect().top < 0) card.scrollIntoView({behavior: 'smooth', block: 'start'});
  }
  window.fluxsmith = {
    rememberJob() { remember('job', document.querySelector('.fs-job')); },
    rememberModel() { remember('model', document.querySelector('.fs-model')); },
  };
})();
