/* The recurrent part of an LSTM layer over [T, N] sequences whose episodes end inside them, forward and backward.

   PyTorch computes what is one large matrix product over all steps: the input projection and the gradients of the
   weights. What is left must go step by step, and is small: h[t - 1] times the recurrent weight, and the cell. Here
   both stay in the cache, a weight is laid out once for all steps, and an episode start costs nothing but a zero.

   Gates stand in PyTorch's order: input i, forget f, candidate g, output o (torch.nn.LSTM):

       c[t] = f * c[t - 1] + i * g        h[t] = o * tanh(c[t])

   Environments do not depend on each other, so threads take turns in running some of them through all steps. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Vectors per row and rows of one tile of a matrix product: as many sums as the registers of the machine hold. */
#if defined(__AVX512F__)
enum { VECTOR = 16, ROWS = 12 };
#elif defined(__AVX__)
enum { VECTOR = 8, ROWS = 6 };
#else
enum { VECTOR = 4, ROWS = 8 };
#endif
enum { WIDTH = 2 * VECTOR };

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4)));

typedef int32_t integers __attribute__((vector_size(VECTOR * sizeof(int32_t)), aligned(4)));

/* a where the mask is set (all bits), else b */
static inline vector choose(integers mask, vector a, vector b)
{
    return (vector)((mask & (integers)a) | (~mask & (integers)b));
}

/* exp(x) = 2^n exp(r) with |r| <= ln(2) / 2; the Taylor polynomial of degree 7 is then good to 1e-8. */
static inline vector exponential(vector x)
{
    vector limit = 87.0f - (vector){0};
    x = choose(x > limit, limit, x);
    x = choose(x < -limit, -limit, x);
    vector shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the last bits are then n */
    vector n = shifted - 12582912.0f;
    vector r = x - n * 0.693145751953125f - n * 1.42860677e-6f; /* ln 2 in two parts, the first of few digits */
    vector p = r * (1.0f / 5040.0f) + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (vector)(((integers)shifted << 23) + 0x3f800000);
}

static inline vector sigmoid(vector x) { return 1.0f / (1.0f + exponential(-x)); }

/* Near 0 the quotient cancels; there the Taylor polynomial of degree 9 is good to 1e-8 of the result. */
static inline vector hyperbolic_tangent(vector x)
{
    vector far = 1.0f - 2.0f / (1.0f + exponential(2.0f * x)), s = x * x;
    vector near = x + x * s * (-1.0f / 3.0f + s * (2.0f / 15.0f + s * (-17.0f / 315.0f + s * (62.0f / 2835.0f))));
    return choose(s < 0.0625f, near, far);
}

/* Size in floats of a matrix [inner, columns] that `pack` lays out in panels of WIDTH columns. */
static ptrdiff_t packed_size(ptrdiff_t inner, ptrdiff_t columns)
{
    return (columns + WIDTH - 1) / WIDTH * WIDTH * inner;
}

/* Element (k, j) of the matrix lies at matrix[k * step_k + j * step_j]. Missing columns are filled with 0. */
static void pack(ptrdiff_t inner, ptrdiff_t columns, const float *matrix, ptrdiff_t step_k, ptrdiff_t step_j,
                 float *packed)
{
    for (ptrdiff_t first = 0; first < columns; first += WIDTH)
        for (ptrdiff_t k = 0; k < inner; k++)
            for (ptrdiff_t j = first; j < first + WIDTH; j++)
                *packed++ = j < columns ? matrix[k * step_k + j * step_j] : 0.0f;
}

/* One tile: c[rows, width] = base + a[rows, inner] times a panel; `rows` is a constant wherever this is used. */
static inline __attribute__((always_inline)) void tile(int rows, ptrdiff_t inner, ptrdiff_t width, const float *a,
                                                       ptrdiff_t a_step, const float *panel, float *c,
                                                       ptrdiff_t c_step, int accumulate)
{
    vector sums[ROWS][2];
    for (int i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = (vector){0};
    for (ptrdiff_t k = 0; k < inner; k++, panel += WIDTH) {
        vector left = *(const vector *)panel, right = *(const vector *)(panel + VECTOR);
        for (int i = 0; i < rows; i++) {
            vector value = a[i * a_step + k] - (vector){0};
            sums[i][0] += value * left;
            sums[i][1] += value * right;
        }
    }
    for (int i = 0; i < rows; i++) {
        float *out = c + i * c_step;
        const float *sum = (const float *)sums[i];
        if (width == WIDTH) {
            vector *target = (vector *)out;
            target[0] = accumulate ? target[0] + sums[i][0] : sums[i][0];
            target[1] = accumulate ? target[1] + sums[i][1] : sums[i][1];
        } else
            for (ptrdiff_t j = 0; j < width; j++)
                out[j] = accumulate ? out[j] + sum[j] : sum[j];
    }
}

/* c[rows, columns] = (accumulate ? c : 0) + a[rows, inner] times a packed matrix [inner, columns]. */
static void product(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *a, ptrdiff_t a_step,
                    const float *packed, float *c, ptrdiff_t c_step, int accumulate)
{
    for (ptrdiff_t first = 0; first < columns; first += WIDTH, packed += inner * WIDTH) {
        ptrdiff_t width = columns - first < WIDTH ? columns - first : WIDTH, row = 0;
        for (; row + ROWS <= rows; row += ROWS)
            tile(ROWS, inner, width, a + row * a_step, a_step, packed, c + row * c_step + first, c_step, accumulate);
        for (; row + 4 <= rows; row += 4)
            tile(4, inner, width, a + row * a_step, a_step, packed, c + row * c_step + first, c_step, accumulate);
        for (; row < rows; row++)
            tile(1, inner, width, a + row * a_step, a_step, packed, c + row * c_step + first, c_step, accumulate);
    }
}

/* One layer's sequences of N environments over T steps, H units. */
typedef struct {
    ptrdiff_t T, N, H;
    float *gates;        /* [T, N, 4H] forward, in: input projection with both biases; out: gates after activation */
    const float *weight; /* [4H, H]    recurrent weight */
    const uint8_t *keep; /* [T, N]     0 where an episode starts with step t, else 1 */
    const float *h0, *c0; /* [N, H]    state before t = 0 */
    float *h, *c;        /* [T, N, H]  forward, out: state after every step */
    const float *grad_h; /* [T, N, H]  backward, in: gradient with respect to h */
    float *grad;         /* [T, N, 4H] backward, out: gradient with respect to the gates before activation */
    float *workspace;    /* `lstm_workspace` floats */
} layer;

/* Floats of working memory that `lstm_forward` and `lstm_backward` need. */
ptrdiff_t lstm_workspace(ptrdiff_t N, ptrdiff_t H)
{
    ptrdiff_t forward = packed_size(H, 4 * H), backward = packed_size(4 * H, H);
    return (forward > backward ? forward : backward) + 2 * N * H;
}

static void forward(const layer *s, ptrdiff_t begin, ptrdiff_t end)
{
    ptrdiff_t T = s->T, N = s->N, H = s->H, rows = end - begin;
    const float *packed = s->workspace;
    float *before = s->workspace + packed_size(H, 4 * H) + begin * H;
    for (ptrdiff_t t = 0; t < T; t++) {
        const float *h_before = t ? s->h + (t - 1) * N * H : s->h0, *c_before = t ? s->c + (t - 1) * N * H : s->c0;
        for (ptrdiff_t n = begin; n < end; n++) {
            float kept = s->keep[t * N + n];
            for (ptrdiff_t j = 0; j < H; j++)
                before[(n - begin) * H + j] = kept * h_before[n * H + j];
        }
        product(rows, H, 4 * H, before, H, packed, s->gates + (t * N + begin) * 4 * H, 4 * H, 1);
        for (ptrdiff_t n = begin; n < end; n++) {
            float *gate = s->gates + (t * N + n) * 4 * H, kept = s->keep[t * N + n];
            for (ptrdiff_t j = 0; j < H; j += VECTOR) {
                vector *i = (vector *)(gate + j), *f = (vector *)(gate + H + j);
                vector *g = (vector *)(gate + 2 * H + j), *o = (vector *)(gate + 3 * H + j);
                *i = sigmoid(*i);
                *f = sigmoid(*f);
                *g = hyperbolic_tangent(*g);
                *o = sigmoid(*o);
                vector now = *f * (kept * *(const vector *)(c_before + n * H + j)) + *i * *g;
                *(vector *)(s->c + (t * N + n) * H + j) = now;
                *(vector *)(s->h + (t * N + n) * H + j) = *o * hyperbolic_tangent(now);
            }
        }
    }
}

static void backward(const layer *s, ptrdiff_t begin, ptrdiff_t end)
{
    ptrdiff_t T = s->T, N = s->N, H = s->H, rows = end - begin;
    const float *packed = s->workspace;
    float *later_h = s->workspace + packed_size(4 * H, H) + 2 * begin * H, *later_c = later_h + rows * H;
    memset(later_h, 0, 2 * rows * H * sizeof(float));
    for (ptrdiff_t t = T - 1; t >= 0; t--) {
        const float *c_before = t ? s->c + (t - 1) * N * H : s->c0;
        for (ptrdiff_t n = begin; n < end; n++) {
            const float *gate = s->gates + (t * N + n) * 4 * H;
            float *to_gate = s->grad + (t * N + n) * 4 * H, kept = s->keep[t * N + n];
            for (ptrdiff_t j = 0; j < H; j += VECTOR) {
                vector i = *(const vector *)(gate + j), f = *(const vector *)(gate + H + j);
                vector g = *(const vector *)(gate + 2 * H + j), o = *(const vector *)(gate + 3 * H + j);
                vector *next_c = (vector *)(later_c + (n - begin) * H + j);
                vector last = kept * *(const vector *)(c_before + n * H + j);
                vector bent = hyperbolic_tangent(*(const vector *)(s->c + (t * N + n) * H + j));
                vector to_h = *(const vector *)(s->grad_h + (t * N + n) * H + j)
                              + *(const vector *)(later_h + (n - begin) * H + j);
                vector to_c = *next_c + to_h * o * (1.0f - bent * bent);
                *(vector *)(to_gate + j) = to_c * g * i * (1.0f - i);
                *(vector *)(to_gate + H + j) = to_c * last * f * (1.0f - f);
                *(vector *)(to_gate + 2 * H + j) = to_c * i * (1.0f - g * g);
                *(vector *)(to_gate + 3 * H + j) = to_h * bent * o * (1.0f - o);
                *next_c = kept * to_c * f;
            }
        }
        if (t == 0)
            break;
        product(rows, 4 * H, H, s->grad + (t * N + begin) * 4 * H, 4 * H, packed, later_h, H, 0);
        for (ptrdiff_t n = 0; n < rows; n++)
            if (!s->keep[t * N + begin + n])
                memset(later_h + n * H, 0, H * sizeof(float));
    }
}

typedef struct {
    const layer *sequences;
    void (*run)(const layer *, ptrdiff_t, ptrdiff_t);
    ptrdiff_t share;
    atomic_ptrdiff_t next;
} work;

static void take_turns(void *argument)
{
    work *shared = argument;
    ptrdiff_t begin, N = shared->sequences->N, share = shared->share;
    while ((begin = atomic_fetch_add(&shared->next, share)) < N)
        shared->run(shared->sequences, begin, begin + share < N ? begin + share : N);
}

/* GNU OpenMP's entry point. Called through a pointer, the threads are those that PyTorch has already. */
typedef void (*parallel)(void (*function)(void *), void *argument, unsigned threads, unsigned flags);

static void spread(const layer *sequences, void (*run)(const layer *, ptrdiff_t, ptrdiff_t), unsigned threads,
                   parallel start)
{
    work shared = {sequences, run, (sequences->N + threads - 1) / threads, 0};
    if (threads > 1 && start)
        start(take_turns, &shared, threads, 0);
    else
        take_turns(&shared);
}

/* Outputs and cell states of all steps. */
void lstm_forward(const layer *s, unsigned threads, parallel start)
{
    pack(s->H, 4 * s->H, s->weight, 1, s->H, s->workspace);
    spread(s, forward, threads, start);
}

/* Gradient with respect to the gates, given what `lstm_forward` left. */
void lstm_backward(const layer *s, unsigned threads, parallel start)
{
    pack(4 * s->H, s->H, s->weight, s->H, 1, s->workspace);
    spread(s, backward, threads, start);
}
