/* Where the ranks of a step meet: sums over all atoms for the balanced channels, docs/model.md
 * (24), (29), and rows of h on their way to other ranks between (15) and (16), their gradients
 * after (34). */
#ifndef UMAS_STEP_RANKS_CUH
#define UMAS_STEP_RANKS_CUH

#include <algorithm>
#include <initializer_list>

#include "engine/step_context.cuh"

/* Channels of a set: 0, the charge; 1, the spin. */
template <typename S> int first_channel(step_context<S> &c, int set) {
    return (set ? c.e.a->spin_channel : c.e.a->charge_channel)[0];
}

template <typename S> int end_channel(step_context<S> &c, int set) {
    return (set ? c.e.a->spin_channel : c.e.a->charge_channel)[1];
}

/* What the sum of a set has to be; of gradients it is 0. */
template <typename S> double target(step_context<S> &c, int set, bool backward) {
    return backward ? 0 : set ? double(c.e.setup.spin - 1) : double(c.e.setup.charge);
}

/* One set, or two that have no channel in common, on one rank with few atoms. */
template <typename S>
umas_status balance_alone(step_context<S> &c, int first, int second, bool backward) {
    auto channels = [&](int set) {
        return channel_set{first_channel(c, set), end_channel(c, set), target(c, set, backward)};
    };
    balance_channels_alone(c.stream, c.owned, c.e.input.element, channels(first),
                           second == first ? channel_set{} : channels(second), c.e.system_atoms,
                           c.x);
    return UMAS_OK;
}

/* Sets that have no channel in common, 64 channels of each at a time: one sum over ranks. */
template <typename S>
umas_status balance_sets(step_context<S> &c, std::initializer_list<int> sets, bool backward,
                         umas_error *error) {
    constexpr int BATCH = 64;
    int most = 0;
    for (int set : sets) most = max(most, end_channel(c, set) - first_channel(c, set));
    for (int done = 0; done < most; done += BATCH) {
        auto for_each_set = [&](auto &&work) {
            int at = 0;
            for (int set : sets) {
                const int from = min(first_channel(c, set) + done, end_channel(c, set));
                const int to = min(from + BATCH, end_channel(c, set));
                work(set, from, to, c.e.results.balance_sum + at);
                at += to - from;
            }
            return at;
        };
        const int count = for_each_set([&](int, int from, int to, double *sum) {
            balance_channels_sum(c.stream, c.owned, c.e.input.element, from, to, c.x,
                                 c.e.results.partial, sum);
        });
        if (c.e.ranks.is_open()) {
            const umas_status status =
                c.e.ranks.sum(c.stream, c.e.results.balance_sum, count, error);
            if (status != UMAS_OK) return status;
        }
        for_each_set([&](int set, int from, int to, double *sum) {
            balance_channels_shift(c.stream, c.owned, c.e.input.element, from, to, sum,
                                   target(c, set, backward), c.e.system_atoms, c.x);
        });
    }
    return UMAS_OK;
}

/* Both sets of balanced channels, in the order of the forward pass or against it. */
template <typename S> umas_status balance(step_context<S> &c, bool backward, umas_error *error) {
    c.begin(backward ? "balance_channels_backward" : "balance_channels_forward",
            c.cost.balance(end_channel(c, 0) - first_channel(c, 0) + end_channel(c, 1) -
                           first_channel(c, 1)));
    const bool apart =
        first_channel(c, 0) >= end_channel(c, 1) || first_channel(c, 1) >= end_channel(c, 0);
    const bool alone = !c.e.ranks.is_open() && balance_channels_alone_pays(c.owned);
    if (apart)
        return alone ? balance_alone(c, 0, 1, backward) : balance_sets(c, {0, 1}, backward, error);
    umas_status status = UMAS_OK;
    for (int k = 0; k < 2 && status == UMAS_OK; k++) {
        const int set = backward ? 1 - k : k;
        status =
            alone ? balance_alone(c, set, set, backward) : balance_sets(c, {set}, backward, error);
    }
    return status;
}

/* Rows of h of owned atoms go to the ranks that have edges from them; reverse: gradients of the
 * rows that came go back and are added. */
template <typename S>
umas_status start_exchange(step_context<S> &c, float *rows_of, bool reverse, umas_error *error) {
    if (!c.e.ranks.is_open()) return UMAS_OK;
    return reverse ? c.e.ranks.start_reverse(c.stream, rows_of, error)
                   : c.e.ranks.start_forward(c.stream, rows_of, error);
}

/* What is timed here is what the exchange holds up. */
template <typename S>
umas_status finish_exchange(step_context<S> &c, float *rows_of, bool reverse, umas_error *error) {
    if (!c.e.ranks.is_open()) return UMAS_OK;
    c.begin(reverse ? "wait for gradients of other ranks" : "wait for features of other ranks", {});
    return reverse ? c.e.ranks.finish_reverse(c.stream, rows_of, error)
                   : c.e.ranks.finish_forward(c.stream, rows_of, error);
}

#endif
