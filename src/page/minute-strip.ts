import { clock, words } from './format.ts';
import { html } from './html.ts';

export type StripMinute = {
  readonly minute: number;
  readonly at_ms: number;
  readonly ruling?: string | undefined;
};

const KINDS = { none: 'good', agreed_pause: 'idle', network: 'idle', undecided: 'warn' } as const;

/** Whose fault each minute was, side by side; the words beside it say it in numbers. */
export function MinuteStrip({ minutes }: { minutes: readonly StripMinute[] }) {
  const counts = Map.groupBy(minutes, ({ ruling }) => ruling ?? 'not judged');
  const said = [...counts].map(([ruling, all]) => `${words(ruling)}: ${all.length}`).join(', ');
  return html`<div class="strip">
    <svg viewBox=${`0 0 ${minutes.length} 1`} preserveAspectRatio="none" role="img" aria-label=${said}>
      ${minutes.map(
        (
          { minute, at_ms: at, ruling },
          index,
        ) => html`<rect key=${minute} x=${index} y="0" width="1" height="1"
          class=${ruling === undefined ? 'unjudged' : (KINDS[ruling as keyof typeof KINDS] ?? 'bad')}>
          <title>${clock(at)}: ${words(ruling ?? 'not judged')}</title></rect>`,
      )}
    </svg>
    <p class="quiet">${said}</p>
  </div>`;
}
