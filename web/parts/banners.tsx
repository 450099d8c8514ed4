/** Banners above a screen: that the connection is lost, or that the page is outdated. */
import { useComputed } from '@preact/signals';
import { pageUnits } from '../../wire/units.js';
import { nowMs } from '../data/clock.js';
import { host } from '../data/keeper.js';
import { connect, link } from '../data/link.js';

const { duration } = pageUnits;

/** The connection is lost: the screen shows the last state, and how old it is. */
export function Away() {
  const { reason, awaySince, retryAt } = link.value;
  const since = useComputed(() => duration(nowMs.value - (awaySince ?? nowMs.value)));
  const next = useComputed(() => {
    const left = retryAt === null ? 0 : retryAt - nowMs.value;
    return left <= 0 ? 'Retrying now' : `Retrying in ${duration(left + 999)}`;
  });
  return (
    <div class="banner" role="alert">
      <p>
        <strong>The {host} is offline</strong>
        {reason ? `: ${reason}. ` : ': it was shut down. '}
        <span aria-hidden="true">
          What you see is from {since} ago. {next}.
        </span>
      </p>
      <button type="button" onClick={connect}>
        Try now
      </button>
    </div>
  );
}

export function Outdated() {
  return (
    <div class="banner calm" role="status">
      <p>The {host} was updated. This page is from the previous version.</p>
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}
