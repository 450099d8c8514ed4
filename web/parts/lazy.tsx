/**
 * A part of the page whose code is fetched when it is first shown, or earlier when the page is idle: then it can be opened
 * while the process that serves it is offline.
 */
import { useSignal, useSignalEffect } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { host } from '../data/keeper.js';
import { link } from '../data/link.js';
import { keep, kept } from '../data/storage.js';

/** A part that is still missing after a reload is not reloaded again for this time. */
const RELOAD_MS_MIN = 30_000;
const isTime = (value: unknown): value is number => typeof value === 'number';

const fetches: (() => Promise<unknown>)[] = [];

/** Fetches all parts, one after the other. */
export async function fetchParts(): Promise<void> {
  for (const fetchPart of fetches) await fetchPart().catch(() => {});
}

export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | null = null;
  const fetchPart = async () => {
    loaded ??= await load();
  };
  fetches.push(fetchPart);
  return function Lazy(props: Props) {
    const state = useSignal<'loading' | 'there' | 'failed'>(loaded ? 'there' : 'loading');
    useEffect(() => {
      if (loaded) return;
      fetchPart().then(
        () => {
          state.value = 'there';
        },
        () => {
          state.value = 'failed';
        },
      );
    }, []);
    if (state.value === 'there' && loaded) {
      const Loaded = loaded;
      return <Loaded {...props} />;
    }
    return state.value === 'loading' ? <p class="waiting-first">…</p> : <Failed />;
  };
}

/** A browser caches the failure of a module, and after an update the module has another name: only a reload helps. */
function Failed() {
  useSignalEffect(() => {
    if (link.value.state !== 'open') return;
    if (Date.now() - kept('tab', 'reloaded', isTime, 0) < RELOAD_MS_MIN) return;
    keep('tab', 'reloaded', Date.now());
    location.reload();
  });
  if (link.value.state !== 'open')
    return (
      <p class="waiting-first" role="status">
        The {host} is offline, and this part of the page was not loaded before. It opens as soon as the {host} is back.
      </p>
    );
  return (
    <p class="waiting-first">
      This part of the page could not be loaded.{' '}
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </p>
  );
}
