const WORDS = new Set(
  `and or unless on ignoring group_left group_right by without bool offset sum min max avg count topk bottomk quantile
   stddev stdvar group count_values rate irate increase delta idelta deriv histogram_quantile label_replace label_join
   abs ceil floor round clamp clamp_min clamp_max vector scalar time timestamp absent absent_over_time avg_over_time
   min_over_time max_over_time sum_over_time count_over_time quantile_over_time last_over_time changes resets sort
   sort_desc predict_linear ln log2 log10 exp sqrt inf nan label_values`.split(/\s+/),
);

export type Selector = { readonly metric: string; readonly labels: readonly string[] };

export type Query = {
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `without`, `on`, `ignoring`, `group_left`, `group_right`. */
  readonly groupings: readonly string[];
  /** Durations in brackets. */
  readonly ranges: readonly string[];
};

/** The metrics, labels and ranges of a PromQL expression; `$` variables pass. */
export function readQuery(expression: string): Query {
  const groupings: string[] = [];
  const ranges: string[] = [];
  const noStrings = expression.replaceAll(/"[^"]*"/g, '""');
  const bare = noStrings
    .replaceAll(
      /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g,
      (_all, list: string) => {
        groupings.push(
          ...list
            .split(',')
            .map((label) => label.trim())
            .filter(Boolean),
        );
        return ' ';
      },
    )
    .replaceAll(/\[([^\]]*)\]/g, (_all, range: string) => {
      ranges.push(range);
      return ' ';
    });
  const selectors: Selector[] = [];
  for (const match of bare.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?/g)) {
    const [, metric = '', matchers = ''] = match;
    if (WORDS.has(metric) && matchers === '') continue;
    const labels = [...matchers.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map((label) => label[1]!);
    selectors.push({ metric, labels });
  }
  return { selectors, groupings, ranges };
}
