import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { clock, instant } from './format.ts';
import { html } from './html.ts';

/** One line of a chart; `isFilled` for an amount, not for a limit. */
export type Line = { readonly name: string; readonly tone: 1 | 2 | 3; readonly isFilled?: boolean };

type ChartProps = {
  readonly label: string;
  readonly lines: readonly Line[];
  /** Unix seconds, ascending. */
  readonly times: readonly number[];
  /** For each line a value for each time; null where there is none. */
  readonly values: readonly (readonly (number | null)[])[];
  readonly format: (value: number) => string;
  readonly height?: number;
};

/** Values over time. A reader that sees no picture is told the last of each line. */
export function Chart({ label, lines, times, values, format, height = 220 }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | undefined>(undefined);
  const data = [times, ...values] as uPlot.AlignedData;
  const shape = lines.map(({ name }) => name).join('|');
  useEffect(() => {
    const element = box.current!;
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsOf(element, { lines, format, height, point: setPointed }),
        data,
        element,
      );
    };
    draw();
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    sizes.observe(element);
    scheme.addEventListener('change', draw);
    return () => {
      sizes.disconnect();
      scheme.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, height]);
  useEffect(() => plot.current?.setData(data), [times.at(-1), times.length, values]);
  const timeOf = (times.at(-1) ?? 0) - (times[0] ?? 0) < DAY_SECONDS ? clock : instant;
  const last = lines.map(({ name }, at) => {
    const value = values[at]?.findLast((each) => each !== null);
    return `${name} ${value === undefined || value === null ? 'none' : format(value)}`;
  });
  return html`<figure class="chart">
    <div ref=${box} role="img" aria-label=${`${label}: ${last.join(', ')}`}
      style=${{ minHeight: `${height}px` }}></div>
    <figcaption>
      ${lines.map(({ name, tone }, index) => {
        const value = pointed === undefined ? undefined : values[index]?.[pointed];
        const isNamed = lines.length > 1 || value !== undefined;
        return (
          isNamed &&
          html`<span class="key tone${tone}">${name} <span class="number">${
            value === undefined || value === null ? '' : format(value)
          }</span></span>`
        );
      })}
      ${pointed !== undefined && html`<span class="number">${timeOf((times[pointed] ?? 0) * 1000)}</span>`}
    </figcaption>
  </figure>`;
}

function optionsOf(
  element: HTMLElement,
  {
    lines,
    format,
    height,
    point,
  }: Pick<ChartProps, 'lines' | 'format'> & {
    readonly height: number;
    /** What row is pointed at. */
    readonly point: (index: number | undefined) => void;
  },
): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  const font = `12px ${style.fontFamily}`;
  return {
    ...{ width: Math.max(200, element.clientWidth), height, legend: { show: false } },
    ...{ padding: [12, 26, 0, 0], cursor: { y: false, drag: { x: false, y: false } } },
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? undefined)] },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, font, size: 30, space: 70, values: (_plot, all) => timesOf(all) },
      { ...axis, font, size: 84, values: (_plot, all) => all.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map(({ name, tone, isFilled }) => ({
        ...{ label: name, stroke: colour(`--tone${tone}`), width: 1.5, points: { show: false } },
        ...(isFilled === true ? { fill: colour(`--tone${tone}-soft`) } : { dash: [5, 4] }),
      })),
    ],
  };
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const DAY_SECONDS = 86_400;

/** With seconds where marks are less than a minute apart; a day begins with its date. */
function timesOf(unixSeconds: readonly number[]): string[] {
  const [first = 0, second = 0] = unixSeconds;
  return unixSeconds.map((at) => {
    const time = TIME.format(at * 1000);
    if (time === '00:00') return DAY.format(at * 1000);
    return second - first < 60 ? clock(at * 1000) : time;
  });
}

/** A line in a cell: where the last value lies among those before it. */
export function Sparkline({ values: seen }: { values: readonly number[] }) {
  const values = seen.length === 1 ? [...seen, ...seen] : seen;
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, at) => {
    const x = (at / (values.length - 1)) * 78;
    return `${(x + 1).toFixed(1)},${(19 - (value / most) * 17).toFixed(1)}`;
  });
  return html`<svg class="spark" viewBox="0 0 80 20" width="80" height="20" aria-hidden="true">
    <polyline points=${points.join(' ')} />
  </svg>`;
}
