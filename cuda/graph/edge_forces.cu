/* Forces and virials from the gradients of all edges, docs/model.md (37), (38).  Counterpart:
 * core/graph/edges.c.
 *
 * In: of each edge, the derivative of the network's energy by its distance and its torque, times
 * gradient_scale, in four parts (two warps each at its target and its source).
 * Out: forces in eV/A, virials in eV.
 *
 * edge_vectors: a thread has an edge and computes dE/dvector.  node_forces: a warp has a node; its
 * lanes add up, in double, the vectors of the edges into the node and out of it, in an order that
 * the list alone decides, so there are no atomics.  The virials of a block's 8 nodes are summed in
 * shared memory and written as one partial sum a block, which total_virial, a single block, adds
 * up. */
#include "graph/edge_forces.cuh"

namespace {

constexpr int WARPS = 8;

/* dE/dvector of an edge: the distance's part along n; a turn (x, z) of the frame moves the
 * direction by z x - x z (core/graph/edges.c). */
__global__ void edge_vectors(edge_list edges, edge_gradient g, double scale, float4 *edge_vector) {
    int e = edges.begin + blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= *edges.end) return;
    float4 t0 = g.target[2 * (size_t)e], t1 = g.target[2 * (size_t)e + 1];
    float4 s0 = g.source[2 * (size_t)e], s1 = g.source[2 * (size_t)e + 1];
    const float *frame = edges.record + (size_t)e * EDGE_RECORD;
    double about_x = ((double)t0.x + t1.x + s0.x + s1.x) / edges.vector[e].w;
    double about_z = ((double)t0.y + t1.y + s0.y + s1.y) / edges.vector[e].w;
    double distance = (double)t0.z + t1.z + s0.z + s1.z;
    double v[3];
    for (int i = 0; i < 3; i++)
        v[i] = scale * (distance * frame[3 + i] + about_z * frame[i] - about_x * frame[6 + i]);
    edge_vector[e] = make_float4((float)v[0], (float)v[1], (float)v[2], 0);
}

/* r f of one edge, symmetrised: xx yy zz xy xz yz */
__device__ __forceinline__ void add_share(float4 v, float4 g, double factor, double *virial) {
    virial[0] -= factor * v.x * g.x;
    virial[1] -= factor * v.y * g.y;
    virial[2] -= factor * v.z * g.z;
    virial[3] -= 0.5 * factor * ((double)v.x * g.y + (double)v.y * g.x);
    virial[4] -= 0.5 * factor * ((double)v.x * g.z + (double)v.z * g.x);
    virial[5] -= 0.5 * factor * ((double)v.y * g.z + (double)v.z * g.y);
}

/* A warp a node. */
__global__ void node_forces(edge_list inner, edge_list outer,
                            const float4 *__restrict__ edge_vector, double *force,
                            double *atom_virial, double *partial, step_report *report) {
    __shared__ double block[WARPS][6];
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31, n = blockIdx.x * WARPS + warp;
    double f[3] = {0, 0, 0}, into[6] = {0}, out[6] = {0};
    if (n < outer.nodes) {
        auto add_edges_into = [&](const int *first) {
            for (int e = first[n] + lane; e < first[n + 1]; e += 32) {
                float4 g = edge_vector[e];
                f[0] += g.x;
                f[1] += g.y;
                f[2] += g.z;
                add_share(inner.vector[e], g, 1, into);
            }
        };
        if (n < inner.nodes) add_edges_into(inner.first);
        if (outer.first) add_edges_into(outer.first);
        for (int k = inner.out_first[n] + lane; k < inner.out_first[n + 1]; k += 32) {
            int e = inner.out[k];
            float4 g = edge_vector[e];
            f[0] -= g.x;
            f[1] -= g.y;
            f[2] -= g.z;
            if (atom_virial) add_share(inner.vector[e], g, 0.5, out);
        }
    }
    for (int i = 0; i < 3; i++) f[i] = warp_sum(f[i]);
    for (int i = 0; i < 6; i++) {
        into[i] = warp_sum(into[i]);
        out[i] = warp_sum(out[i]);
    }
    if (lane == 0) {
        for (int i = 0; i < 6; i++) block[warp][i] = into[i];
        if (n < outer.nodes) {
            for (int i = 0; i < 3; i++) force[3 * (size_t)n + i] = f[i];
            for (int i = 0; i < 6 && atom_virial; i++)
                atom_virial[6 * (size_t)n + i] = 0.5 * into[i] + out[i];
            if (!isfinite(f[0]) || !isfinite(f[1]) || !isfinite(f[2])) report->not_finite = 1;
        }
    }
    __syncthreads();
    if (threadIdx.x < 6) {
        double sum = 0;
        for (int w = 0; w < WARPS; w++) sum += block[w][threadIdx.x];
        partial[6 * (size_t)blockIdx.x + threadIdx.x] = sum;
    }
}

/* One block: strided sums, then a tree, in a fixed order. */
__global__ void total_virial(int partials, const double *__restrict__ partial,
                             step_report *report) {
    __shared__ double shared[256];
    for (int i = 0; i < 6; i++) {
        double sum = 0;
        for (int k = threadIdx.x; k < partials; k += 256) sum += partial[6 * (size_t)k + i];
        shared[threadIdx.x] = sum;
        for (int half = 128; half; half >>= 1) {
            __syncthreads();
            if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        }
        if (threadIdx.x == 0) {
            report->virial[i] = shared[0];
            if (!isfinite(shared[0])) report->not_finite = 1;
        }
        __syncthreads();
    }
}

} // namespace

int force_partials(int nodes) { return (nodes + WARPS - 1) / WARPS; }

void edges_to_forces(cudaStream_t stream, const edge_list &inner, const edge_list &outer,
                     edge_gradient gradient, double scale, float4 *edge_vector, double *force,
                     double *atom_virial, double *partial, step_report *report) {
    int partials = force_partials(outer.nodes);
    for (const edge_list *edges : {&inner, &outer})
        if (edges->capacity > 0)
            edge_vectors<<<(unsigned)((edges->capacity + 255) / 256), 256, 0, stream>>>(
                *edges, gradient, scale, edge_vector);
    if (partials > 0)
        node_forces<<<(unsigned)partials, WARPS * 32, 0, stream>>>(inner, outer, edge_vector, force,
                                                                   atom_virial, partial, report);
    total_virial<<<1, 256, 0, stream>>>(partials, partial, report);
}
