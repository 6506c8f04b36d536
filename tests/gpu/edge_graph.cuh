/* Atoms at random, their graph as core/graph/edges.c builds it, and the same graph on the
 * device. */
#ifndef UMAS_EDGE_GRAPH_CUH
#define UMAS_EDGE_GRAPH_CUH

#include <algorithm>

#include "device_array.cuh"
#include "graph/edge_list.cuh"

extern "C" {
#include "graph/edges.h"
}

constexpr double CUTOFF = 6;
/* Atoms of some_elements() are of these. */
constexpr int PRESENT = 4;

/* Slots of the elements in radial tables. */
static inline ints element_slots(void) {
    ints slot(UMAS_ELEMENTS, 0);
    for (int z = 1; z <= PRESENT; z++) slot[(size_t)z] = z - 1;
    return slot;
}

/* What to scatter: the nodes are owned atoms, then ghosts of other ranks; images are ghosts of
 * owned atoms.  `spacing` decides how many neighbours an atom has. */
struct atom_counts {
    int owned, others, images;
    double spacing; /* A */
};

/* One rank's atoms with candidates beyond the cutoff, those of element 0 among them. */
struct scattered_atoms {
    ints element, node, neighbour;
    doubles position;
    std::vector<int64_t> first;
    umas_atoms atoms{};
    int max_neighbors = 0; /* no limit */

    explicit scattered_atoms(const atom_counts &n) {
        const int total = n.owned + n.others + n.images;
        std::mt19937 engine(17);
        std::uniform_real_distribution<double> jitter(-0.2, 0.2);
        int edge = 1;
        while (edge * edge * edge < total) edge++;
        std::vector<int> place((size_t)(edge * edge * edge));
        for (size_t i = 0; i < place.size(); i++) place[i] = (int)i;
        std::shuffle(place.begin(), place.end(), engine);
        element = some_elements(total);
        for (int i = 0; i < total; i++) {
            const int p = place[(size_t)i], cell[3] = {p % edge, p / edge % edge, p / edge / edge};
            for (int c : cell) position.push_back(n.spacing * (c + jitter(engine)));
            node.push_back(i < n.owned + n.others ? i : (i * 5) % n.owned);
        }
        for (int i = n.owned + n.others; i < total; i++)
            element[(size_t)i] = element[(size_t)node[(size_t)i]];
        atoms.owned = n.owned;
        atoms.nodes = n.owned + n.others;
        atoms.total = total;
        atoms.element = element.data();
        atoms.position = position.data();
        atoms.node = node.data();
        atoms.list_changed = 1;
        list_candidates();
    }
    scattered_atoms(const scattered_atoms &) = delete;
    scattered_atoms &operator=(const scattered_atoms &) = delete;
    double *at(int i) { return position.data() + 3 * (size_t)i; }
    /* To be called when atoms have moved. */
    void list_candidates(void) {
        first = {0};
        neighbour.clear();
        for (int i = 0; i < atoms.owned; i++) {
            for (int j = 0; j < atoms.total; j++) {
                double r = 0;
                for (int d = 0; d < 3; d++) r += pow(at(j)[d] - at(i)[d], 2);
                if (j != i && r < pow(CUTOFF + 1.5, 2)) neighbour.push_back(j);
            }
            first.push_back((int64_t)neighbour.size());
        }
        atoms.first = first.data();
        atoms.neighbour = neighbour.data();
    }
};

/* The graph on the host; exits the test on failure. */
struct host_edges {
    umas_edges edges{};

    explicit host_edges(const scattered_atoms &a) {
        umas_error error;
        if (umas_edges_build(&edges, &a.atoms, CUTOFF, a.max_neighbors, &error) == UMAS_OK) return;
        fprintf(stderr, "%s\n", error.message);
        exit(EXIT_FAILURE);
    }
    host_edges(const host_edges &) = delete;
    host_edges &operator=(const host_edges &) = delete;
    ~host_edges() { umas_edges_free(&edges); }
};

/* What follows an edge_list's last edge, which no stage may read. */
constexpr int SPARE_EDGES = 5;

/* Wigner entries, envelope and slope of every edge as the records hold them; NaN behind the last.
 */
static inline floats edge_records(const umas_edges &edges, const doubles &wigner,
                                  const doubles &envelope, const doubles &envelope_slope) {
    floats record = poison<float>((size_t)(edges.count + SPARE_EDGES) * EDGE_RECORD);
    for (size_t e = 0; e < (size_t)edges.count; e++) {
        float *to = record.data() + e * EDGE_RECORD;
        for (size_t i = 0; i < RECORD_ENVELOPE; i++) to[i] = (float)wigner[e * RECORD_ENVELOPE + i];
        to[RECORD_ENVELOPE] = (float)envelope[e];
        to[RECORD_ENVELOPE + 1] = (float)envelope_slope[e];
    }
    return record;
}

/* Where every edge's distance lies in radial tables; NaN behind the last. */
static inline std::vector<radial_index> table_indices(const umas_edges &edges,
                                                      const scattered_atoms &a) {
    const ints slot = element_slots();
    std::vector<radial_index> index;
    for (int64_t e = 0; e < edges.count; e++) {
        const double *v = edges.vector[e];
        const double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        const double at = length / CUTOFF * (RADIAL_KNOTS - 1);
        const int pair = slot[(size_t)a.element[(size_t)edges.source[e]]] * PRESENT +
                         slot[(size_t)a.element[(size_t)edges.target[e]]];
        const int knot = std::min((int)at, RADIAL_KNOTS - 2);
        index.push_back({pair * RADIAL_KNOTS + knot, (float)(at - knot)});
    }
    index.resize(index.size() + SPARE_EDGES, {-1, std::numeric_limits<float>::quiet_NaN()});
    return index;
}

static inline ints narrow(const int64_t *from, size_t n) { return ints(from, from + n); }

/* Vector and length of every edge; NaN behind the last. */
static inline floats edge_vectors(const umas_edges &edges) {
    floats vector = poison<float>((size_t)(edges.count + SPARE_EDGES) * 4);
    for (size_t e = 0; e < (size_t)edges.count; e++) {
        const double *v = edges.vector[e];
        for (size_t d = 0; d < 3; d++) vector[4 * e + d] = (float)v[d];
        vector[4 * e + 3] = (float)sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    }
    return vector;
}

/* edges.first runs over owned atoms; ghosts have no edges into them. */
static inline ints first_of_nodes(const umas_edges &edges, const umas_atoms &atoms) {
    ints first = narrow(edges.first, (size_t)atoms.owned + 1);
    first.resize((size_t)atoms.nodes + 1, (int)edges.count);
    return first;
}

struct device_edges {
    const umas_atoms &atoms;
    int capacity;
    device_array<int> end, first, out_first, out;
    device_array<radial_index> table_index;
    device_array<float> vector, record;
    device_array<node_visit> visit;
    device_array<chunk_extent> extent;

    device_edges(const scattered_atoms &a, const umas_edges &edges, const floats &records)
        : atoms(a.atoms), capacity((int)edges.count + SPARE_EDGES), end({(int)edges.count}),
          first(first_of_nodes(edges, a.atoms)),
          out_first(narrow(edges.out_first, (size_t)a.atoms.nodes + 1)),
          out(narrow(edges.out, (size_t)edges.count)), table_index(table_indices(edges, a)),
          vector(edge_vectors(edges)), record(records),
          visit(std::vector<node_visit>((size_t)a.atoms.nodes)), extent({chunk_extent{}}) {}
    /* All edges in one list, whatever they come from. */
    edge_list list() const {
        return {atoms.owned, atoms.nodes,
                0,           capacity,
                end,         first,
                out_first,   out,
                table_index, reinterpret_cast<const float4 *>((float *)vector),
                record,      nullptr,
                nullptr};
    }
    /* The same for a stage that works on a chunk, which knows the chunk's nodes unless that is the
     * whole list. */
    edge_list list(edge_span span) const {
        edge_list chunk = list();
        if (span.size == capacity) return chunk;
        chunk.visit = visit;
        chunk.extent = extent;
        chunk_nodes_find(0, chunk, span);
        return chunk;
    }
    /* A second kind that has no edges. */
    edge_list none() const {
        edge_list empty = list();
        empty.capacity = 0;
        empty.first = nullptr;
        return empty;
    }
};

#endif
