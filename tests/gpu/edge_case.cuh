/* What the tests of edge stages run on: a graph with its geometry, and gradients of its edges. */
#ifndef UMAS_EDGE_CASE_CUH
#define UMAS_EDGE_CASE_CUH

#include "edge_graph.cuh"
#include "edge_stages/edge_stages.cuh"

extern "C" {
#include "graph/edge_geometry.h"
}

/* One graph, the geometry of its edges rounded as the records round it, and random numbers. */
struct edge_case {
    const int rows;
    scattered_atoms atoms;
    host_edges host;
    const size_t edges, nodes, owned, room; /* room: edges an array has space for */
    doubles wigner, envelope, envelope_slope;
    edge_chunk chunk{};
    device_edges device;

    edge_case(const atom_counts &counts, int message_rows)
        : rows(message_rows), atoms(counts), host(atoms), edges((size_t)host.edges.count),
          nodes((size_t)atoms.atoms.nodes), owned((size_t)atoms.atoms.owned),
          room(edges + SPARE_EDGES), device(atoms, host.edges, make_geometry()) {}
    size_t of(int width) const { return edges * (size_t)width; }
    size_t room_of(int width) const { return room * (size_t)width; }

  private:
    floats make_geometry() {
        umas_architecture a = {};
        a.cutoff = CUTOFF;
        a.distance_functions = 1;
        wigner.resize(edges * RECORD_ENVELOPE);
        envelope.resize(edges), envelope_slope.resize(edges);
        doubles basis(edges), basis_slope(edges);
        chunk.edges = (int)edges;
        chunk.source = host.edges.source_node, chunk.target = host.edges.target;
        chunk.wigner = wigner.data();
        chunk.envelope = envelope.data(), chunk.envelope_slope = envelope_slope.data();
        chunk.basis = basis.data(), chunk.basis_slope = basis_slope.data();
        edge_geometry_forward(&a, host.edges.vector, &chunk);
        for (doubles *array : {&wigner, &envelope, &envelope_slope})
            for (double &v : *array) v = (float)v;
        return edge_records(host.edges, wigner, envelope, envelope_slope);
    }
};

/* Numbers of an edge in edge_gradient::target or ::source: two slots of torque x, torque z,
 * distance, and one that is not used. */
constexpr size_t SLOTS = 8;

static inline float4 *slots(float *array) { return reinterpret_cast<float4 *>(array); }

/* Both slots of the target's, and of the source's where there are any, added up. */
static inline doubles totals(const floats &target, const floats &source, size_t edges) {
    doubles sum(3 * edges);
    for (size_t i = 0; i < sum.size(); i++) {
        const size_t at = i / 3 * SLOTS + i % 3;
        sum[i] = (double)target[at] + target[at + 4];
        if (!source.empty()) sum[i] += (double)source[at] + source[at + 4];
    }
    return sum;
}

static inline std::vector<umas_edge_gradient> gradients(const doubles &totals) {
    std::vector<umas_edge_gradient> g(totals.size() / 3);
    for (size_t e = 0; e < g.size(); e++)
        g[e] = {totals[3 * e + 2], totals[3 * e], totals[3 * e + 1]};
    return g;
}

#endif
