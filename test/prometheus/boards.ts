import { readdirSync, readFileSync } from 'node:fs';
import { rolesOf } from '../ops/known-metrics.ts';
import { JOB, type Target } from './prometheus.ts';

const FOLDER = new URL('../../config/grafana/dashboards/', import.meta.url);
/** Of `$__rate_interval`: five scrapes. */
const RATE_INTERVAL = '5s';

type Board = {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
  }[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
};

/** An expression of a board, with its variables filled in. */
export type BoardQuery = { readonly name: string; readonly expr: string };

/** All that the boards ask for: panels, annotations, and what the list of instances is made from. */
export function boardQueries(targets: readonly Target[]): readonly BoardQuery[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .flatMap((file) => {
      const board = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Board;
      const source = sourceOf(board);
      const roles = rolesOf(source) as readonly string[];
      const instances = targets.filter(({ role }) => roles.includes(role)).map(({ instance }) => instance);
      const fill = (expr: string): string =>
        expr
          .replaceAll('$job', JOB)
          .replaceAll('$instance', instances.join('|'))
          .replaceAll('$__rate_interval', RATE_INTERVAL);
      const named = (title: string, expr: string): BoardQuery => ({
        name: `${file.replace('.json', '')}, ${title}`,
        expr: fill(expr),
      });
      return [
        named('its instances', `${source}{job="$job"}`),
        ...board.panels.flatMap(({ title, targets: asked = [] }) =>
          asked.map(({ expr, refId }) => named(`${title} ${refId}`, expr)),
        ),
        ...board.annotations.list.map(({ name, expr }) => named(`annotation ${name}`, expr)),
      ];
    });
}

/** The metric that lists a board's instances. */
function sourceOf({ templating }: Board): string {
  const { query } = templating.list.find(({ name }) => name === 'instance')!.query as { query: string };
  return /sharestream_\w+/.exec(query)![0];
}
