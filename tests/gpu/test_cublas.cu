/* The matrix products of the CUDA engine against sums in double. */
#include "edge_stages/edge_stages.cuh"
#include "products/cublas.cuh"
#include "stored.cuh"

/* A product into columns of a wider array, whose other columns stay. */
template <typename S>
void test_product(product_library *library, const product &p, bool transposed) {
    const size_t m = (size_t)p.rows, n = (size_t)p.n, k = (size_t)p.k;
    const size_t lda = (size_t)p.lda, ldc = (size_t)p.ldc, in = transposed ? k : n;
    const size_t out = transposed ? n : k;
    stored<S> a = store<S>(random_floats(m * lda, 0, 1, 1));
    stored<S> w = store<S>(random_floats(n * k, 0, 1 / sqrt((double)in), 2));
    doubles wide_a = load<S>(a), wide_w = load<S>(w), want(m * out, 0.0), got;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < out; j++)
            for (size_t l = 0; l < in; l++)
                want[i * out + j] +=
                    wide_a[i * lda + l] * wide_w[transposed ? j * k + l : l * k + j];
    device_array<S> a_(a), w_(w);
    stored<S> c = output_of(stored_poison<S>(m * ldc), [&](S *to) {
        CHECK(transposed ? product_nt<S>(library, p, a_, w_, to)
                         : product_nn<S>(library, p, a_, w_, to));
    });
    for (size_t i = 0; i < c.size(); i++)
        if (i % ldc < out)
            got.push_back((double)(float)c[i]);
        else
            CHECK(std::isnan((float)c[i]));
    check_close(transposed ? "product_nt" : "product_nn", got.data(), want.data(),
                (long)want.size(), TOLERANCE_PRODUCT * largest_of(want),
                sizeof(S) == 2 ? TOLERANCE_HALF : 0);
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    product_library *library = NULL;
    umas_error error;
    if (!CHECK(products_open(0, &library, &error) == UMAS_OK)) {
        fprintf(stderr, "%s\n", error.message);
        return EXIT_FAILURE;
    }
    /* in the shapes of a convolution and of the radial functions */
    for (int rows : {0, 1, 50, 300}) {
        const int K = CHANNELS;
        test_product<float>(library, {rows, 5 * K, 6 * K, 18 * K, 11 * K}, true);
        test_product<__half>(library, {rows, 5 * K, 6 * K, 18 * K, 11 * K}, true);
        test_product<float>(library, {rows, 4 * K, 8 * K, 11 * K, 18 * K}, false);
        test_product<__half>(library, {rows, 4 * K, 8 * K, 11 * K, 18 * K}, false);
        test_product<float>(library, {rows, 10 * K, HIDDEN_WIDTH, HIDDEN_WIDTH, 10 * K}, true);
        test_product<__half>(library, {rows, 10 * K, HIDDEN_WIDTH, HIDDEN_WIDTH, 10 * K}, true);
    }
    products_close(library);
    return check_report();
}
