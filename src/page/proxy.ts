import { ProxyContracts } from './proxy-contracts.ts';
import { ProxyMarket } from './proxy-market.ts';
import { ProxyMiners } from './proxy-miners.ts';
import { ProxyNow } from './proxy-now.ts';
import { ProxySystem } from './proxy-system.ts';
import { startPage } from './shell.ts';

startPage({
  daemon: 'proxy',
  tabs: [
    { path: 'now', title: 'Now', View: ProxyNow },
    { path: 'miners', title: 'Miners', View: ProxyMiners },
    { path: 'contracts', title: 'Contracts', View: ProxyContracts },
    { path: 'market', title: 'Market', View: ProxyMarket },
    { path: 'system', title: 'System', View: ProxySystem },
  ],
  rateOf: ({ hashes_per_second_1m: rate }) => Number(rate),
  alertOf: ({ durability, destinations_up: up, contracts_without_peer: away }) => {
    if (durability !== 'sound') return 'ledger';
    if (up === 0) return 'no work';
    return Number(away) > 0 ? 'maker away' : undefined;
  },
});
