/**
 * Sharestream status
 * 0.2.0
 * DO NOT MODIFY - This file has been generated using oazapfts.
 * See https://www.npmjs.com/package/oazapfts
 */
import * as Oazapfts from "@oazapfts/runtime";
import * as QS from "@oazapfts/runtime/query";
export const defaults: Oazapfts.Defaults<Oazapfts.CustomHeaders> = {
    headers: {},
    baseUrl: "/api/v1"
};
const oazapfts = Oazapfts.runtime(defaults);
export const servers = {
    server1: "/api/v1"
};
export type ProxyDestination = {
    name: string;
    role: string;
    up: boolean;
    tls: boolean;
    job_age_ms: number | null;
    reject_ratio: number;
    rtt_ms: number | null;
    shares: {
        accepted: number;
        refused: number;
        timeout: number;
        lost: number;
    };
    /** shares by our verdict and theirs */
    combinations: {
        [key: string]: number;
    };
    last_refusal: string | null;
    last_failure: string | null;
    redirects_refused: number;
    dropped_lines: number;
    version_reading: {
        option: string;
        guess: string;
        confirmed: boolean;
    } | null;
    sessions: number;
    links: {
        attached: number;
        spare: number;
        refused: number;
    } | null;
    hashrate: {
        text: string;
        hashes_per_second: number;
    };
    credited: {
        shares: number;
        /** a whole number in decimal digits */
        work_hashes: string;
    };
    split: {
        weight: number | null;
        rate_hashes_per_second: string | null;
        /** a whole number in decimal digits */
        wanted_hashes_per_second: string;
        /** a whole number in decimal digits */
        assigned_hashes_per_second: string;
        /** a whole number in decimal digits */
        missing_hashes: string;
    } | null;
};
export type ProxyMiner = {
    id: number;
    address: string;
    listener: number;
    user_agent_class: string;
    user_agent: string;
    destination: string;
    /** why no contract can use it */
    own_pool_reason: string | null;
    workers: {
        name: string;
        accepted: number;
        rejected: number;
        accepted_difficulty: number;
        hashes_per_second: number;
        /** 0 before the first */
        last_share_at_ms: number;
        luck: {
            block: {
                solutions: number;
                expected: number;
            };
            upstream: {
                solutions: number;
                expected: number;
            };
        } | null;
    }[];
    worker_count: number;
    difficulty: number;
    hashes_per_second: number;
    accepted: number;
    rejected: number;
    in_flight: number;
    version_rolling: boolean;
    /** Unix time in milliseconds */
    connected_at_ms: number;
    connected_for_ms: number;
    last_seen_ms: number;
    /** Unix time in milliseconds */
    last_share_at_ms: number;
};
export type ProxyContract = {
    id: string;
    name: string;
    state: string;
    connected: boolean;
    live: boolean;
    /** a whole number in decimal digits */
    price_msat_per_eh: string;
    /** a whole number in decimal digits */
    step_hashes: string;
    /** a whole number in decimal digits */
    work_total_hashes: string;
    /** a whole number in decimal digits */
    work_hashes: string;
    /** a whole number in decimal digits */
    exposure_hashes: string;
    share_difficulty: number;
    /** that is due; null where the terms name none */
    rate_hashes_per_second: string | null;
    /** from then on the own side closes by itself */
    closes_from_height: number;
    channel: {
        state: string;
        state_number: number;
        /** a whole number in decimal digits */
        signed_work_hashes: string;
        /** a whole number in decimal digits */
        budget_sat: string;
        expiry_height: number;
        /** on chain, final */
        settled_sat: string;
        /** in the newest state, which the miner can broadcast */
        signed_sat: string;
        /** verified, in no state yet: at risk */
        accrued_sat: string;
        /** a whole number in decimal digits */
        unspent_sat: string;
        /** a whole number in decimal digits */
        paid_sat: string;
        funding_txid: string | null;
        funding_tx_hex: string | null;
        close_txid: string | null;
        close_tx_hex: string | null;
        close_confirmations: number;
    };
    delivery: {
        agreed: "live" | "suspect" | "cure" | "default";
        own: "live" | "suspect" | "cure" | "default";
        /** a whole number in decimal digits */
        missing_hashes: string;
        cure_by_height?: number;
        curtailed_blocks: number;
        /** by whose fault they were */
        minutes: {
            [key: string]: number;
        };
        heard_minute?: number;
    } | null;
    leaving: {
        /** a whole number in decimal digits */
        value_msat_per_eh: string;
        miner: {
            /** a whole number in decimal digits */
            gain_sat: string;
            /** a whole number in decimal digits */
            forfeit_sat: string;
            /** a whole number in decimal digits */
            bond_needed_sat: string;
        };
        maker: {
            /** a whole number in decimal digits */
            gain_sat: string;
            /** a whole number in decimal digits */
            forfeit_sat: string;
            /** a whole number in decimal digits */
            bond_needed_sat: string;
        };
        pays: ("miner" | "maker") | null;
    } | null;
    auditor: {
        is_connected: boolean;
        channel?: "alone" | "differs" | "shared";
        told_minute?: number;
        verdict?: "miner" | "maker" | "none" | "undecided";
        words?: string;
        last_error?: string;
    } | null;
    notices: {
        pauses: {
            miner?: {
                reason: string;
                from_height: number;
                until_height?: number;
            };
            maker?: {
                reason: string;
                from_height: number;
                until_height?: number;
            };
        };
        curtailed_blocks: number;
        /** a whole number in decimal digits */
        written_off_sat?: string;
        ends: {
            miner?: {
                height: number;
                is_taken: boolean;
            };
            maker?: {
                height: number;
                is_taken: boolean;
            };
        };
    };
    work: {
        up: boolean;
        down_reason: string | null;
        jobs: {
            taken: number;
            live: number;
            waiting: number;
        };
        refused_jobs: {
            [key: string]: number;
        };
        last_refused_job: string | null;
        solutions: {
            accepted: number;
            refused: number;
            timeout: number;
            lost: number;
        };
        last_refused_solution: string | null;
        solution_ms: {
            p50: number | null;
            p99: number | null;
        };
    } | null;
    unpaid_job: string | null;
    disputed_commitment: {
        n: number;
        why: string;
    } | null;
    blocks: {
        accepted: number;
        refused: number;
        timeout: number;
        lost: number;
    } | null;
    ignored_edits: {
        term: string;
        running: string;
        configured: string;
    }[];
};
export type ProxyGetStatusAnswer = {
    role: "proxy";
    version: string;
    node_id: string;
    network: string;
    bitcoin_node: {
        truc: "enforced" | "ignored" | "refused" | "unknown";
    };
    sessions: number;
    destination: string;
    hashrate: {
        text: string;
        hashes_per_second: number;
    };
    shares: {
        submitted: number;
        accepted: number;
        rejected: {
            [key: string]: number;
        };
    };
    blocks_found: number;
    luck: {
        workers: number;
        unlikely: {
            solutions: number;
            expected: number;
            /** probability of so few solutions or fewer */
            fewer: number;
            /** probability of so many solutions or more */
            more: number;
            /** of the band that is not unlikely */
            least: number;
            /** of the band that is not unlikely */
            most: number;
            worker: string;
            solution: "block" | "upstream";
        }[];
    };
    streams: {
        id: string;
        shares: number;
        /** a whole number in decimal digits */
        work_hashes: string;
    }[];
    destinations: ProxyDestination[];
    braidpool: {
        name: string;
        reachable: boolean;
        error: string | null;
        updated_at_ms: number | null;
        subscribed: boolean;
        payout_address: string;
        shares: {
            confirmed: number;
            wrong_payout: number;
            missing: number;
            "unknown": number;
            pending: number;
        };
        beads: number;
        cohorts: number;
        orphans: number;
        tips: string[];
        /** a whole number in decimal digits */
        total_work_hashes: string;
    }[];
    /** the first of them; all are at /miners */
    miners: ProxyMiner[];
    /** the first of `contracts` */
    contract: ProxyContract | null;
    contracts: ProxyContract[];
    metering: {
        contract_id: string;
        connected: boolean;
        status: "live" | "ending" | "ended";
        end_reason?: string;
        /** a whole number in decimal digits */
        work_total_hashes: string;
        /** a whole number in decimal digits */
        verified_work_hashes: string;
        totals: number;
        /** a whole number in decimal digits */
        signed_work_hashes: string;
        refused: {
            [key: string]: number;
        };
        /** a whole number in decimal digits */
        own_work_hashes: string;
        last_error?: string;
    } | null;
    finished_contracts: {
        name: string;
        contract_id: string;
        reason: string;
    }[];
    /** contracts that other proxies on the same ledger serve too */
    shared_contracts: {
        name: string;
        contract_id: string | null;
        resource: string;
        is_owner: boolean;
        owner: string | null;
        live: boolean;
        /** a whole number in decimal digits */
        granted_hashes: string;
        /** a whole number in decimal digits */
        done_hashes: string;
    }[];
    /** delivered and not signed for, over all contracts */
    exposure_sat: string;
    closing_only: {
        /** why no contract is served */
        reason: {
            code: string;
            detail: string;
        } | null;
        channels: {
            contract: string;
            channel: string;
            state: "waiting" | "closing" | "closed" | "missing";
            n: number;
            expiry_height: number;
            blocks_left: number | null;
            age_seconds: number;
            is_old: boolean;
            is_refund: boolean;
            last_broadcast: {
                txid: string;
                /** a whole number in decimal digits */
                fee_sat: string;
                result: "taken" | "refused" | "unreachable";
                detail: string;
            } | null;
        }[];
    };
    durability: "sound" | "held" | "lost";
    descriptors: {
        open: number;
        limit: number;
    } | null;
    waiting: {
        part: string;
        code: string;
        detail: string;
        attempts: number;
    }[];
    chain: {
        height: number | null;
        projected_height: number | null;
        stalled: boolean;
        nodes: {
            name: string;
            state: string;
            height: number | null;
            last_error: {
                code: string;
                detail: string;
            } | null;
        }[];
    } | null;
    /** today, by the own node */
    hash_value_msat_per_eh: string | null;
    last_peer_error: string | null;
};
export type MakerContract = {
    contract_id: string;
    miner_node_id: string;
    connected: boolean;
    channel: "none" | "opening" | "funding" | "open" | "closing" | "closed" | "frozen" | "failed";
    stream: "pending" | "live" | "paused" | "ending" | "ended";
    /** a whole number in decimal digits */
    verified_work_hashes: string;
    /** a whole number in decimal digits */
    work_total_hashes: string;
    /** a whole number in decimal digits */
    unsigned_work_hashes: string;
    /** a whole number in decimal digits */
    unsigned_sat: string;
    /** number of the newest signed state, -1 before the first */
    n: number;
    acked_n: number;
    /** a whole number in decimal digits */
    paid_sat: string;
    balance: {
        /** a whole number in decimal digits */
        miner_sat: string;
        /** a whole number in decimal digits */
        maker_sat: string;
    };
    expiry_height: number;
    shares_credited: number;
    refused: {
        [key: string]: number;
    };
    work?: {
        solutions: number;
        late_solutions: number;
        is_paused: boolean;
        jobs_live: number;
        jobs_kept: number;
        jobs_given: number;
        not_given: {
            [key: string]: number;
        };
        is_down: boolean;
    };
    blocks?: {
        solutions: number;
        late_solutions: number;
        is_paused: boolean;
        verdicts: {
            accepted: number;
            refused: number;
            timeout: number;
            lost: number;
        };
        last_fault?: string;
    };
    funding_txid?: string;
    funding_depth: number;
    seal: "none" | "intact" | "claimed" | "lost";
    beads?: {
        worth: number;
        paid: number;
        missing: number;
        open: number;
        stolen?: string;
    };
    frozen?: string;
    fault?: "suspended" | "broken";
    luck: {
        block: {
            solutions: number;
            expected: number;
            /** probability of so few solutions or fewer */
            fewer: number;
            /** probability of so many solutions or more */
            more: number;
            /** of the band that is not unlikely */
            least: number;
            /** of the band that is not unlikely */
            most: number;
        };
        upstream: {
            solutions: number;
            expected: number;
            /** probability of so few solutions or fewer */
            fewer: number;
            /** probability of so many solutions or more */
            more: number;
            /** of the band that is not unlikely */
            least: number;
            /** of the band that is not unlikely */
            most: number;
        };
    };
    delivery?: {
        agreed: "live" | "suspect" | "cure" | "default";
        own: "live" | "suspect" | "cure" | "default";
        /** a whole number in decimal digits */
        missing_hashes: string;
        cure_by_height?: number;
        curtailed_blocks: number;
        /** by whose fault they were */
        minutes: {
            [key: string]: number;
        };
        heard_minute?: number;
    };
    auditor?: {
        is_connected: boolean;
        channel?: "alone" | "differs" | "shared";
        told_minute?: number;
        verdict?: "miner" | "maker" | "none" | "undecided";
        words?: string;
        last_error?: string;
    };
    notices: {
        pauses: {
            miner?: {
                reason: string;
                from_height: number;
                until_height?: number;
            };
            maker?: {
                reason: string;
                from_height: number;
                until_height?: number;
            };
        };
        curtailed_blocks: number;
        /** a whole number in decimal digits */
        written_off_sat?: string;
        ends: {
            miner?: {
                height: number;
                is_taken: boolean;
            };
            maker?: {
                height: number;
                is_taken: boolean;
            };
        };
    };
    leaving: {
        /** a whole number in decimal digits */
        value_msat_per_eh: string;
        miner: {
            /** a whole number in decimal digits */
            gain_sat: string;
            /** a whole number in decimal digits */
            forfeit_sat: string;
            /** a whole number in decimal digits */
            bond_needed_sat: string;
        };
        maker: {
            /** a whole number in decimal digits */
            gain_sat: string;
            /** a whole number in decimal digits */
            forfeit_sat: string;
            /** a whole number in decimal digits */
            bond_needed_sat: string;
        };
        pays: ("miner" | "maker") | null;
    } | null;
};
export type MakerPool = {
    name: string;
    connections: number;
    solutions: {
        accepted: number;
        refused: number;
        timeout: number;
        lost: number;
    };
    late_solutions: number;
    /** a whole number in decimal digits */
    accepted_work_hashes: string;
    /** a whole number in decimal digits */
    credited_work_hashes: string;
    verdicts: {
        we_accepted_they_accepted: number;
        we_accepted_they_rejected: number;
        we_accepted_they_silent: number;
        we_rejected_they_accepted: number;
        we_rejected_they_rejected: number;
        we_rejected_they_silent: number;
        incomplete: number;
    };
    last_refusal?: string;
};
export type MakerGetStatusAnswer = {
    role: "maker";
    version: string;
    node_id: string;
    network: string;
    bitcoin_node: {
        truc: "enforced" | "ignored" | "refused" | "unknown";
    };
    connections: number;
    refused_connections: {
        [key: string]: number;
    };
    contracts: MakerContract[];
    metering: {
        contract_id: string;
        connected: boolean;
        status: "live" | "ending" | "ended";
        end_reason?: string;
        /** a whole number in decimal digits */
        work_total_hashes: string;
        /** a whole number in decimal digits */
        verified_work_hashes: string;
        totals: number;
        /** a whole number in decimal digits */
        signed_work_hashes: string;
        refused: {
            [key: string]: number;
        };
        miner_node_id: string;
        shares_credited: number;
    }[];
    closing_only: {
        /** why no contract is served */
        reason: {
            code: string;
            detail: string;
        } | null;
        channels: {
            contract: string;
            channel: string;
            state: "waiting" | "closing" | "closed" | "missing";
            n: number;
            expiry_height: number;
            blocks_left: number | null;
            age_seconds: number;
            is_old: boolean;
            is_refund: boolean;
            last_broadcast: {
                txid: string;
                /** a whole number in decimal digits */
                fee_sat: string;
                result: "taken" | "refused" | "unreachable";
                detail: string;
            } | null;
        }[];
    };
    chain: {
        height: number | null;
        projected_height: number | null;
        stalled: boolean;
        nodes: {
            name: string;
            state: string;
            height: number | null;
            last_error: {
                code: string;
                detail: string;
            } | null;
        }[];
    } | null;
    pools: MakerPool[];
    descriptors: {
        open: number;
        limit: number;
    } | null;
};
export type AuditorContract = {
    contract_id: string;
    verdict: "miner" | "maker" | "none" | "undecided";
    words: string;
    /** by ruling */
    minutes: {
        [key: string]: number;
    };
    last_minute: number;
    judged_minute?: number;
    miner_node_id: string;
    maker_node_id: string;
    /** that the sides showed */
    channel: "none" | "alone" | "differs" | "shared";
    logs: {
        teller: "miner" | "maker";
        side: "miner" | "maker";
        last_minute: number;
        signed: number;
        told: number;
    }[];
    /** by the rulings */
    delivery?: {
        status: "live" | "suspect" | "cure" | "default";
        /** a whole number in decimal digits */
        missing_hashes: string;
        cure_by_height?: number;
    };
    /** the highest that both have said */
    height: number;
    expiry_height: number;
    bonds: {
        /** a whole number in decimal digits */
        miner_sat: string;
        /** a whole number in decimal digits */
        maker_sat: string;
        csv_blocks: number;
        given_to?: "miner" | "maker";
    };
};
export type AuditorGetStatusAnswer = {
    role: "auditor";
    version: string;
    node_id: string;
    auditor_key: string;
    network: string;
    connections: number;
    stats: {
        minutes: number;
        signed: number;
        refused: number;
    };
    contracts: AuditorContract[];
};
export type WatchGetStatusAnswer = {
    role: "watch";
    version: string;
    network: string;
    channels: {
        contract: string;
        channel: string;
        state: "waiting" | "closing" | "closed" | "missing";
        n: number;
        expiry_height: number;
        blocks_left: number | null;
        age_seconds: number;
        is_old: boolean;
        is_refund: boolean;
        last_broadcast: {
            txid: string;
            /** a whole number in decimal digits */
            fee_sat: string;
            result: "taken" | "refused" | "unreachable";
            detail: string;
        } | null;
    }[];
    problems: {
        file: string;
        why: string;
    }[];
    last_error: {
        code: string;
        detail: string;
    } | null;
    chain: {
        height: number | null;
        projected_height: number | null;
        stalled: boolean;
        nodes: {
            name: string;
            state: string;
            height: number | null;
            last_error: {
                code: string;
                detail: string;
            } | null;
        }[];
    };
};
export type ProxyError = {
    error: {
        /** stable; the table is ERRORS.md */
        code: string;
        message: string;
        /** what to do */
        hint: string;
    };
};
/**
 * all of it, at a glance
 */
export function getStatus({ miners }: {
    miners?: number;
}, opts?: Oazapfts.RequestOpts) {
    return oazapfts.fetchJson<{
        status: 200;
        data: ProxyGetStatusAnswer | MakerGetStatusAnswer | AuditorGetStatusAnswer | WatchGetStatusAnswer;
    } | {
        status: 304;
    } | {
        status: number;
        data: ProxyError;
    }>(`/status${QS.query(QS.explode({
        miners
    }))}`, {
        ...opts
    });
}
