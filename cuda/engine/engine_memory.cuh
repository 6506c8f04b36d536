/* The arrays that an engine keeps between steps, by what they are for.  Each group knows how
 * many bytes of device memory it holds (memory_plan.cu reserves them). */
#ifndef UMAS_ENGINE_MEMORY_CUH
#define UMAS_ENGINE_MEMORY_CUH

#include <vector>

#include "device_buffer.cuh"
#include "edge_stages/edge_stages.cuh"
#include "engine/step_plan.cuh"
#include "node_stages/node_stages.cuh"

/* A caller's atoms and candidates, [total], [owned + 1] and [candidates] (umas_atoms). */
struct input_memory {
    device_buffer<double> position;
    device_buffer<int> element, node, neighbour;
    device_buffer<long long> first;
    host_buffer<double> position_host;
    size_t bytes() const { return bytes_of(position, element, node, neighbour, first); }
};

/* The edge list and what its construction needs (edge_list_buffers). */
struct list_memory {
    device_buffer<int> end, in_first, outer_first, out_first, out, unsorted, cursor;
    device_buffer<double> reach;
    device_buffer<radial_index> table_index;
    device_buffer<float4> vector;
    device_buffer<float> record;
    device_buffer<char> scan;
    device_buffer<node_visit> visit;
    device_buffer<chunk_extent> extent;

    /* edges: room for those of both kinds */
    bool reserve_edges(size_t edges) {
        return end.reserve(2) && out.reserve(edges) && table_index.reserve(edges) &&
               unsorted.reserve(edges) && vector.reserve(edges) &&
               record.reserve(edges * EDGE_RECORD);
    }
    void release_edges() {
        out.release();
        table_index.release();
        unsorted.release();
        vector.release();
        record.release();
    }
    size_t bytes() const {
        return bytes_of(end, in_first, outer_first, out_first, out, unsorted, cursor, reach,
                        table_index, vector, record, scan, visit, extent);
    }
    edge_list_buffers buffers(const step_plan &p) const {
        return {p.inner,     p.outer,  end,    in_first, outer_first, reach, out_first,      out,
                table_index, unsorted, cursor, vector,   record,      scan,  scan.capacity()};
    }
    edge_list inner_edges(const step_plan &p) const {
        const bool whole = p.inner_chunks() <= 1;
        return {p.owned,
                p.owned,
                0,
                p.inner,
                end,
                in_first,
                out_first,
                out,
                table_index,
                vector,
                record,
                whole ? nullptr : static_cast<node_visit *>(visit),
                whole ? nullptr : static_cast<chunk_extent *>(extent)};
    }
    /* with all nodes, of which few have any; without any edges on one rank */
    edge_list outer_edges(const step_plan &p) const {
        return {p.owned, p.nodes,     p.inner, p.outer, end + 1, outer_first, out_first,
                out,     table_index, vector,  record,  visit,   extent};
    }
};

/* What the two norms of a layer leave for its backward pass. */
template <typename S> struct layer_norms {
    device_buffer<S> rows[2]; /* [nodes][9][C] */
    device_buffer<float> inverse[2];
    kept_norm<S> norm(int i) const { return {rows[i], inverse[i]}; }
};

/* Features of the nodes, [nodes][9][C] each. */
template <typename S> struct node_memory {
    /* x, or backwards its gradient; x of the next layer, or the gradient of h */
    device_buffer<float> x, other;
    std::vector<device_buffer<float>> h; /* [layers]; only the first where the plan keeps no h */
    std::vector<layer_norms<S>> norms;   /* [layers] */
    device_buffer<float> energy;         /* [nodes], network units */

    bool reserve(size_t layers, size_t rows, bool all_h) {
        const size_t width = rows * NODE_WIDTH;
        bool ok = x.reserve(width) && other.reserve(width) && energy.reserve(rows);
        if (norms.size() != layers) norms = std::vector<layer_norms<S>>(layers);
        if (h.size() != layers) h = std::vector<device_buffer<float>>(layers);
        for (auto &n : norms)
            for (int i = 0; i < 2; i++)
                ok = ok && n.rows[i].reserve(width) && n.inverse[i].reserve(rows);
        for (size_t i = 0; i < (all_h ? layers : 1); i++) ok = ok && h[i].reserve(width);
        return ok;
    }
    void release() {
        x.release();
        other.release();
        energy.release();
        h.clear();
        norms.clear();
    }
    void release_later_h() {
        for (size_t i = 1; i < h.size(); i++) h[i].release();
    }
    size_t bytes() const {
        size_t sum = bytes_of(x, other, energy);
        for (const auto &b : h) sum += b.bytes();
        for (const auto &n : norms)
            sum += bytes_of(n.rows[0], n.rows[1], n.inverse[0], n.inverse[1]);
        return sum;
    }
};

/* Activations of the chunk at work, [edges] of the widths in edge_stages.cuh; hidden and radials
 * where there are no tables of them. */
template <typename S> struct chunk_memory {
    device_buffer<S> hidden, radial, radial_slope, message, conv_1, gated, conv_2, g_conv_2;

    void release() {
        for (auto *b :
             {&hidden, &radial, &radial_slope, &message, &conv_1, &gated, &conv_2, &g_conv_2})
            b->release();
    }
    size_t bytes() const {
        return bytes_of(hidden, radial, radial_slope, message, conv_1, gated, conv_2, g_conv_2);
    }
};

/* Activations that a layer's first chunks leave for its backward pass. */
template <typename S> struct kept_activations {
    device_buffer<S> radial, gated, conv_2;
    size_t bytes() const { return bytes_of(radial, gated, conv_2); }
};

/* Gradients of edges, and what a step hands back. */
struct result_memory {
    device_buffer<float4> g_edge, edge_vector; /* [2][edges][2], [edges] */
    device_buffer<double> force, atom_virial, atom_energy, partial, balance_sum;
    device_buffer<step_report> report;
    host_buffer<step_report> report_host;
    host_buffer<double> force_host, atom_energy_host, atom_virial_host;

    bool reserve_edges(size_t edges) {
        return g_edge.reserve(4 * edges) && edge_vector.reserve(edges);
    }
    void release_edges() {
        g_edge.release();
        edge_vector.release();
    }
    bool reserve_nodes(size_t nodes, size_t partials) {
        return atom_energy.reserve(nodes) && force.reserve(nodes * 3) &&
               atom_virial.reserve(nodes * 6) && partial.reserve(partials);
    }
    bool reserve_host(size_t nodes) {
        return atom_energy_host.reserve(nodes) && force_host.reserve(nodes * 3) &&
               atom_virial_host.reserve(nodes * 6);
    }
    edge_gradient gradient(const step_plan &p) const {
        return {g_edge, g_edge + 2 * size_t(p.edges())};
    }
    size_t bytes() const {
        return bytes_of(g_edge, edge_vector, force, atom_virial, atom_energy, partial, balance_sum,
                        report);
    }
    size_t host_bytes() const {
        return bytes_of(report_host, force_host, atom_energy_host, atom_virial_host);
    }
};

#endif
