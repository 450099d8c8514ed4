/** Keyboard shortcuts. They are off while a field has the focus. */
export function startKeys(): void {
  addEventListener('keydown', (event) => {
    const target = event.target as HTMLElement;
    const typing = target.matches('input, textarea, select, [contenteditable]');
    if (event.key === 'Escape' && target.id === 'filter') return leaveFilter(target as HTMLInputElement);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const filter = document.getElementById('filter');
    if (event.key === '/' && filter) {
      event.preventDefault();
      filter.focus();
    }
    // Without a focused card the arrow keys begin at the first one.
    if (event.key === 'ArrowDown' && (target === document.body || target.id === 'main')) {
      const first = document.querySelector<HTMLElement>('.cards h3 a');
      if (!first) return;
      event.preventDefault();
      first.focus();
    }
  });
}

function leaveFilter(input: HTMLInputElement): void {
  input.value = '';
  input.dispatchEvent(new Event('input', { bubbles: true }));
  input.blur();
}
