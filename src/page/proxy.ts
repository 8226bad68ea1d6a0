import { ProxyNow } from './proxy-now.ts';
import { startPage } from './shell.ts';

startPage({
  daemon: 'proxy',
  tabs: [{ path: 'now', title: 'Now', View: ProxyNow }],
  rateOf: ({ hashes_per_second_1m: rate }) => Number(rate),
  alertOf: ({ durability, destinations_up: up }) => {
    if (durability !== 'sound') return 'ledger';
    return up === 0 ? 'no work' : undefined;
  },
});
