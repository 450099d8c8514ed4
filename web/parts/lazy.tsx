/** A part of the page whose code is fetched when it is first shown. */
import { useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';

export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | null = null;
  return function Lazy(props: Props) {
    const state = useSignal<'loading' | 'there' | 'failed'>(loaded ? 'there' : 'loading');
    const begin = () => {
      state.value = 'loading';
      load().then(
        (component) => {
          loaded = component;
          state.value = 'there';
        },
        () => {
          state.value = 'failed';
        },
      );
    };
    useEffect(() => {
      if (!loaded) begin();
    }, []);
    if (state.value === 'there' && loaded) {
      const Loaded = loaded;
      return <Loaded {...props} />;
    }
    if (state.value === 'loading') return <p class="waiting-first">…</p>;
    // A browser remembers a module that failed, and after an update of the queen it is another one.
    return (
      <p class="waiting-first">
        This part of the page could not be fetched.{' '}
        <button type="button" onClick={() => location.reload()}>
          Reload
        </button>
      </p>
    );
  };
}
