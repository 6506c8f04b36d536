/* How much memory a step takes, and what is given up where that is too much: see memory_plan.cuh.
 */
#include "engine/memory_plan.cuh"

#include <algorithm>

namespace {

/* Edges a chunk may have: what keeps 32-bit indices into its widest array safe. */
constexpr int LARGEST_CHUNK = 1 << 18;
constexpr int SMALLEST_CHUNK = 1 << 12;
constexpr int64_t MOST_EDGES = INT32_MAX / 2;

/* Bytes that a node takes, and h of all layers for it; an edge of the list and of a chunk; and what is
 * kept of an edge and layer. */
template <typename S> struct sizes {
    size_t node, h_node, edge, chunk_edge, gated_edge, conv_2_edge, radial_edge;

    explicit sizes(const cuda_engine<S> &e) {
        const size_t L = size_t(e.a->layers), feature = NODE_WIDTH * sizeof(float);
        const size_t message = size_t(message_width(e.rows));
        const size_t radial = e.tables.tabulated ? 0 : size_t(radial_width(e.rows));
        const size_t hidden = e.tables.tabulated ? 0 : HIDDEN_WIDTH;
        const size_t conv_1 = size_t(conv_1_width(e.rows)), conv_2 = size_t(conv_2_width(e.rows));
        const size_t gated = size_t(gated_width(e.rows));
        const size_t norm = NODE_WIDTH * sizeof(S) + sizeof(float);
        node = 3 * feature + 2 * L * norm + sizeof(node_visit) + 256;
        h_node = (L - 1) * feature;
        edge = sizeof(float4) * 6 + EDGE_RECORD * sizeof(float) + sizeof(radial_index) +
               2 * sizeof(int);
        chunk_edge = (hidden + 2 * radial + message + conv_1 + gated + 2 * conv_2) * sizeof(S);
        gated_edge = gated * sizeof(S);
        conv_2_edge = conv_2 * sizeof(S);
        radial_edge = radial * sizeof(S);
    }
    size_t of_list(const step_plan &p) const {
        return size_t(p.node_capacity) * node + size_t(p.edges()) * edge;
    }
    size_t of_chunk(const step_plan &p) const { return size_t(p.chunk) * chunk_edge; }
    size_t of_all(const step_plan &p) const {
        return of_list(p) + of_chunk(p) + of_kept(p, p.kept_gated, gated_edge) +
               of_kept(p, p.kept_conv_2, conv_2_edge) + of_kept(p, p.kept_radials, radial_edge) +
               (p.kept_h ? size_t(p.node_capacity) * h_node : 0);
    }

  private:
    static size_t of_kept(const step_plan &p, int kept, size_t an_edge) {
        size_t edges = 0;
        for (int later = 0; p.kept_of_layer(kept, later) > 0; later++)
            edges += size_t(p.kept_edges(kept, later));
        return edges * an_edge;
    }
};

/* What so many nodes and edges take at the least. */
template <typename S> size_t least_bytes(const cuda_engine<S> &e, int64_t nodes, int64_t edges) {
    const sizes<S> size(e);
    return size_t(nodes) * size.node + size_t(edges) * size.edge + SMALLEST_CHUNK * size.chunk_edge;
}

template <typename S> bool fits(const cuda_engine<S> &e, int64_t nodes, int64_t edges) {
    return nodes < INT32_MAX && edges <= MOST_EDGES && least_bytes(e, nodes, edges) <= e.room();
}

/* Ghosts, candidates and edges come and go: some room spares most of the growth that follows. */
int64_t with_room(int64_t count) { return count > 0 ? count + count / 64 + 128 : 0; }

/* Rows for the planned nodes with this many edges: those there are, else with room where there is
 * any. */
template <typename S> int node_capacity_for(const cuda_engine<S> &e, int64_t edges) {
    const int64_t nodes = e.plan.nodes, there = e.plan.node_capacity, more = with_room(nodes);
    if (there >= nodes && fits(e, there, edges)) return int(there);
    return int(fits(e, more, edges) ? more : nodes);
}

/* Outer edges are few, and those of a surface: their number varies more. */
template <typename S> void make_room(cuda_engine<S> &e, const int edges[2]) {
    const int64_t inner = with_room(edges[0]);
    const int64_t outer = edges[1] > 0 ? int64_t(edges[1]) + edges[1] / 16 + 128 : 0;
    const bool roomy = fits(e, e.plan.node_capacity, inner + outer);
    e.plan.inner = roomy ? int(inner) : edges[0];
    e.plan.outer = roomy ? int(outer) : edges[1];
}

/* Refuse what cannot fit, and say how many atoms like these would. */
template <typename S>
umas_status check_fit(const cuda_engine<S> &e, int64_t edges, umas_error *error) {
    if (fits(e, e.plan.nodes, edges)) return UMAS_OK;
    if (edges > MOST_EDGES)
        return umas_fail(error, UMAS_ERROR_MEMORY, "%lld edges are too many for one GPU; use more",
                         (long long)edges);
    const size_t need = least_bytes(e, e.plan.nodes, edges);
    const size_t smallest = SMALLEST_CHUNK * sizes<S>(e).chunk_edge;
    const double room = e.room() > smallest ? double(e.room() - smallest) : 0;
    const double largest = 0.99 * double(e.plan.owned) * room / double(need - smallest);
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "%d atoms need %.1f GiB of GPU memory and may take %.1f; about %lld fit: use "
                     "more GPUs or a larger memory fraction",
                     e.plan.owned, gib(need), gib(e.room()), (long long)largest);
}

/* How many of at most `most` chunks, over all layers, may keep so much an edge; `*room` is left
 * that much smaller. */
int chunks_that_fit(const step_plan &p, int most, size_t an_edge, size_t *room) {
    int kept = 0;
    while (kept < most && size_t(p.span(kept % p.chunks()).size) * an_edge <= *room)
        *room -= size_t(p.span(kept++ % p.chunks()).size) * an_edge;
    return kept;
}

/* Chunks and what they keep for the planned edges, which fit.  What spares most for its bytes comes
 * first: what the gate leaves spares rotation and conv1, conv2's result less than half as much. */
template <typename S> void choose(cuda_engine<S> &e) {
    const sizes<S> size(e);
    step_plan &p = e.plan;
    p.chunk = p.kept_gated = p.kept_conv_2 = p.kept_radials = 0;
    p.kept_h = false;
    if (p.edges() == 0) return;
    size_t room = e.room() - size.of_list(p);
    p.chunk = std::min(std::max(p.inner, p.outer), LARGEST_CHUNK);
    while (size.of_chunk(p) > room && p.chunk > SMALLEST_CHUNK) p.chunk /= 2;
    room -= std::min(room, size.of_chunk(p));
    const int all = p.chunks() * e.a->layers;
    p.kept_gated = chunks_that_fit(p, all, size.gated_edge, &room);
    p.kept_conv_2 = chunks_that_fit(p, p.kept_gated, size.conv_2_edge, &room);
    if (!e.tables.tabulated)
        p.kept_radials = chunks_that_fit(p, p.kept_conv_2, size.radial_edge, &room);
    p.kept_h = p.kept_conv_2 == all && size_t(p.node_capacity) * size.h_node <= room;
}

template <typename S> bool reserve_nodes(cuda_engine<S> &e) {
    const int rows = e.plan.node_capacity + 1;
    const int partials =
        force_partials(rows) * 6 + energy_partials(rows) + balance_partials(rows) * 64;
    return e.nodes.reserve(size_t(e.a->layers), size_t(rows), e.plan.kept_h) &&
           e.results.reserve_nodes(size_t(rows), size_t(partials)) &&
           e.list.visit.reserve(size_t(rows)) && e.list.extent.reserve(1);
}

template <typename S> void release_nodes(cuda_engine<S> &e) {
    e.nodes.release();
    e.list.visit.release();
    e.plan.node_capacity = 0;
}

umas_status no_host_memory(int owned, umas_error *error) {
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "no pinned host memory for %d atoms; use fewer ranks on this machine, or more "
                     "machines",
                     owned);
}

template <typename S> bool reserve_edges(cuda_engine<S> &e) {
    const size_t edges = size_t(e.plan.edges()) + 1;
    return e.list.reserve_edges(edges) && e.results.reserve_edges(edges);
}

/* Memory for what products read.  cuBLAS multiplies all rows that a chunk has room for: what stands
 * behind the last edge comes to nothing, but may not be memory that nobody has written. */
template <typename S>
bool reserve_operand(const cuda_engine<S> &e, device_buffer<S> &array, size_t count) {
    const bool grows = count > array.capacity();
    if (!array.reserve(count)) return false;
    if (grows && !e.tiled) cudaMemsetAsync(array, 0, count * sizeof(S), e.stream);
    return true;
}

template <typename S> bool reserve_chunk(cuda_engine<S> &e) {
    size_t n = size_t(e.plan.chunk) + 1;
    const bool radials =
        e.tables.tabulated || (reserve_operand(e, e.chunk.hidden, n * HIDDEN_WIDTH) &&
                               e.chunk.radial.reserve(n * radial_width(e.rows)) &&
                               e.chunk.radial_slope.reserve(n * radial_width(e.rows)));
    return radials && reserve_operand(e, e.chunk.message, n * message_width(e.rows)) &&
           reserve_operand(e, e.chunk.conv_1, n * conv_1_width(e.rows)) &&
           e.chunk.conv_2.reserve(n * conv_2_width(e.rows)) &&
           reserve_operand(e, e.chunk.gated, n * gated_width(e.rows)) &&
           reserve_operand(e, e.chunk.g_conv_2, n * conv_2_width(e.rows));
}

template <typename S> bool reserve_kept(cuda_engine<S> &e) {
    const int L = e.a->layers;
    const step_plan &p = e.plan;
    bool ok = true;
    if (e.kept.empty()) e.kept = std::vector<kept_activations<S>>(size_t(L));
    for (int i = 0; i < L; i++) {
        auto &k = e.kept[size_t(i)];
        auto edges = [&](int kept) { return size_t(p.kept_edges(kept, L - 1 - i)); };
        ok = ok && reserve_operand(e, k.gated, edges(p.kept_gated) * gated_width(e.rows)) &&
             k.conv_2.reserve(edges(p.kept_conv_2) * conv_2_width(e.rows)) &&
             k.radial.reserve(edges(p.kept_radials) * radial_width(e.rows));
    }
    return ok;
}

template <typename S> bool reserve_all(cuda_engine<S> &e) {
    return reserve_nodes(e) && reserve_edges(e) && reserve_chunk(e) && reserve_kept(e);
}

/* Items to reserve for `count` and one more: what is there where it suffices, else with some
 * room. */
template <typename T> size_t reserved_for(const device_buffer<T> &buffer, int64_t count) {
    return size_t(count) < buffer.capacity() ? buffer.capacity() : size_t(with_room(count)) + 1;
}

} // namespace

/* Ranks that share the GPU each have a fraction of what was free when they all began: it is
 * there after the plans of the others, too.  Where it is not, somebody else has taken memory
 * since, and the fraction is one of what is left. */
template <typename S> void settle_share(cuda_engine<S> &e) {
    size_t free_bytes = 0, all_bytes = 0;
    if (e.plan.bytes > 0 || cudaMemGetInfo(&free_bytes, &all_bytes) != cudaSuccess) return;
    const double available = double(free_bytes + e.device_bytes());
    const double promised = e.memory_fraction * double(e.free_at_start);
    e.memory = size_t(promised <= 0.9 * available ? promised : e.memory_fraction * available);
}

size_t candidate_count(const umas_atoms *atoms) {
    return atoms->owned > 0 ? size_t(atoms->first[atoms->owned]) : 0;
}

template <typename S>
umas_status reserve_input(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error) {
    const size_t total = reserved_for(e.input.element, atoms->total);
    const size_t owned = reserved_for(e.input.first, atoms->owned);
    const size_t n = reserved_for(e.list.in_first, int64_t(e.plan.nodes) + 1);
    const size_t pairs = reserved_for(e.input.neighbour, int64_t(candidate_count(atoms)));
    e.captured.drop();
    if (!e.input.position_host.reserve(total * 3)) return no_host_memory(atoms->owned, error);
    if (e.input.position.reserve(total * 3) && e.input.element.reserve(total) &&
        e.input.node.reserve(total) && e.input.first.reserve(owned) &&
        e.input.neighbour.reserve(pairs) && e.list.in_first.reserve(n) &&
        e.list.out_first.reserve(n) && (!e.ranks.is_open() || e.list.outer_first.reserve(n)) &&
        e.list.cursor.reserve(n) && e.list.reach.reserve(owned) &&
        e.list.scan.reserve(edge_list_scan_bytes(int(n))) && reserve_edges(e))
        return UMAS_OK;
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "no GPU memory for the neighbour lists of %d atoms; use more GPUs",
                     atoms->owned);
}

template <typename S> void release_edges(cuda_engine<S> &e) {
    e.list.release_edges();
    e.results.release_edges();
    e.chunk.release();
    e.kept.clear();
    e.nodes.release_later_h();
    e.plan.kept_h = false;
    e.plan.inner = e.plan.outer = e.plan.chunk = 0;
    e.plan.kept_gated = e.plan.kept_conv_2 = e.plan.kept_radials = 0;
}

template <typename S>
umas_status plan_memory(cuda_engine<S> &e, const int edges[2], umas_error *error) {
    settle_share(e);
    const sizes<S> size(e);
    const int64_t all = int64_t(edges[0]) + edges[1];
    const umas_status status = check_fit(e, all, error);
    if (status != UMAS_OK) return status;
    e.captured.drop();
    const int rows = node_capacity_for(e, all);
    if (rows < e.plan.node_capacity) release_nodes(e);
    e.plan.node_capacity = rows;
    if (edges[0] > e.plan.inner || edges[1] > e.plan.outer || size.of_all(e.plan) > e.room()) {
        release_edges(e);
        make_room(e, edges);
        choose(e);
    }
    e.plan.bytes = size.of_all(e.plan);
    const bool on_device = reserve_all(e);
    if (on_device && e.results.reserve_host(size_t(rows) + 1)) return UMAS_OK;
    const step_plan refused = e.plan;
    release_edges(e); /* what was planned is not there */
    release_nodes(e);
    e.plan.bytes = 0;
    if (on_device) return no_host_memory(refused.owned, error);
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "no GPU memory for %d atoms with %d edges, %d at a time: use more GPUs or a "
                     "smaller memory fraction",
                     refused.owned, refused.edges(), refused.chunk);
}

template void settle_share<__half>(cuda_engine<__half> &);
template void settle_share<float>(cuda_engine<float> &);
template void release_edges<__half>(cuda_engine<__half> &);
template void release_edges<float>(cuda_engine<float> &);
template umas_status reserve_input<__half>(cuda_engine<__half> &, const umas_atoms *, umas_error *);
template umas_status reserve_input<float>(cuda_engine<float> &, const umas_atoms *, umas_error *);
template umas_status plan_memory<__half>(cuda_engine<__half> &, const int[2], umas_error *);
template umas_status plan_memory<float>(cuda_engine<float> &, const int[2], umas_error *);
