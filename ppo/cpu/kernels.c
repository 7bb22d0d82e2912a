/* What PyTorch's own operations on a CPU leave undone for networks of this size: dense layers and LSTM layers, forward
   and backward.

   Weights are laid out once per call, products are computed in tiles that stay in registers, activations are applied to
   results still in the cache, and an episode start inside a sequence costs nothing but a zero. Matrices are row-major.

   An LSTM layer computes, with its gates in PyTorch's order (input i, forget f, candidate g, output o; torch.nn.LSTM),

       c[t] = f * c[t - 1] + i * g        h[t] = o * tanh(c[t])

   What is one large product over all its steps, the input projection and the gradients of the weights, is a dense
   layer's; the LSTM functions do the part that goes step by step.

   Behind the layers: the sum of gradients over the processes of one machine. */

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Floats in a vector and rows of the tiles of a matrix product: as many sums as the registers of the machine hold. */
#if defined(__AVX512F__)
enum { VECTOR = 16, ROWS = 12, HALF = 8, REST = 4 };
#elif defined(__AVX__)
enum { VECTOR = 8, ROWS = 6, HALF = 4, REST = 2 };
#else
enum { VECTOR = 4, ROWS = 8, HALF = 4, REST = 2 };
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

/* Lay out a matrix [inner, columns], or with `transposed` the transpose of one [columns, inner], of which a row takes
   `row` floats. Missing columns are filled with 0. */
static void pack(ptrdiff_t inner, ptrdiff_t columns, const float *matrix, ptrdiff_t row, int transposed, float *packed)
{
    for (ptrdiff_t first = 0; first < columns; first += WIDTH, packed += inner * WIDTH) {
        ptrdiff_t width = columns - first < WIDTH ? columns - first : WIDTH;
        if (width < WIDTH)
            memset(packed, 0, (size_t)(inner * WIDTH) * sizeof(float));
        if (transposed) {
            for (ptrdiff_t j = 0; j < width; j++)
                for (ptrdiff_t k = 0; k < inner; k++)
                    packed[k * WIDTH + j] = matrix[(first + j) * row + k];
        } else if (width == WIDTH) {
            for (ptrdiff_t k = 0; k < inner; k++)
                memcpy(packed + k * WIDTH, matrix + k * row + first, WIDTH * sizeof(float));
        } else {
            for (ptrdiff_t k = 0; k < inner; k++)
                memcpy(packed + k * WIDTH, matrix + k * row + first, (size_t)width * sizeof(float));
        }
    }
}

/* One tile: c[rows, width] = (accumulate ? c : 0) + a[rows, inner] times a panel, of which the first one or two vectors
   are used. An element of a is loaded once for both. `rows` and `vectors` are constants wherever this is called. */
static inline __attribute__((always_inline)) void tile(int rows, int vectors, ptrdiff_t inner, ptrdiff_t width,
                                                       const float *a, ptrdiff_t a_row, ptrdiff_t a_column,
                                                       const float *panel, float *c, ptrdiff_t c_row, int accumulate)
{
    vector sums[ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            sums[i][v] = (vector){0};
    for (ptrdiff_t k = 0; k < inner; k++, panel += WIDTH) {
        vector factors[2];
        for (int v = 0; v < vectors; v++)
            factors[v] = *(const vector *)(panel + v * VECTOR);
        for (int i = 0; i < rows; i++) {
            vector every = a[i * a_row + k * a_column] - (vector){0};
            for (int v = 0; v < vectors; v++)
                sums[i][v] += every * factors[v];
        }
    }
    for (int i = 0; i < rows; i++) {
        float *out = c + i * c_row;
        const float *sum = (const float *)sums[i];
        if (width == vectors * VECTOR) {
            for (int v = 0; v < vectors; v++) {
                vector *target = (vector *)(out + v * VECTOR);
                *target = accumulate ? *target + sums[i][v] : sums[i][v];
            }
        } else
            for (ptrdiff_t j = 0; j < width; j++)
                out[j] = accumulate ? out[j] + sum[j] : sum[j];
    }
}

/* c[rows, columns] = (accumulate ? c : 0) + a[rows, inner] times a packed matrix [inner, columns].

   Element (i, k) of a lies at a[i * a_row + k * a_column]. */
static void product(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *a, ptrdiff_t a_row,
                    ptrdiff_t a_column, const float *packed, float *c, ptrdiff_t c_row, int accumulate)
{
    for (ptrdiff_t first = 0; first < columns; first += WIDTH, packed += inner * WIDTH) {
        ptrdiff_t width = columns - first < WIDTH ? columns - first : WIDTH, row = 0;
#define TILES(size, vectors)                                                                                           \
    for (; row + size <= rows; row += size)                                                                            \
    tile(size, vectors, inner, width, a + row * a_row, a_row, a_column, packed, c + row * c_row + first, c_row,        \
         accumulate)
        if (width > VECTOR) {
            TILES(ROWS, 2);
            TILES(HALF, 2);
            TILES(REST, 2);
            TILES(1, 2);
        } else {
            TILES(ROWS, 1);
            TILES(HALF, 1);
            TILES(REST, 1);
            TILES(1, 1);
        }
#undef TILES
    }
}

/* GNU OpenMP's entry point. Called through a pointer, the threads are those that PyTorch has already. */
typedef void (*parallel)(void (*function)(void *), void *argument, unsigned threads, unsigned flags);

/* Items 0 to `count` in shares that threads take in turn. */
typedef struct {
    const void *layer;
    void (*run)(const void *layer, ptrdiff_t begin, ptrdiff_t end);
    ptrdiff_t count, share;
    atomic_ptrdiff_t next;
} work;

static void take_turns(void *argument)
{
    work *shared = argument;
    ptrdiff_t begin, count = shared->count, share = shared->share;
    while ((begin = atomic_fetch_add(&shared->next, share)) < count)
        shared->run(shared->layer, begin, begin + share < count ? begin + share : count);
}

static void spread(const void *layer, void (*run)(const void *, ptrdiff_t, ptrdiff_t), ptrdiff_t count,
                   ptrdiff_t share, unsigned threads, parallel start)
{
    work shared = {layer, run, count, share, 0};
    if (threads > 1 && start && count > share)
        start(take_turns, &shared, threads, 0);
    else
        run(layer, 0, count);
}

/* A dense layer of M rows: y = activation(x weight^T + bias). */
typedef struct {
    ptrdiff_t M, in, out;
    int64_t activation;
    const float *x;      /* [M, in] */
    const float *weight; /* [out, in] */
    const float *bias;   /* [out]      forward, in */
    float *y;            /* [M, out]   forward, out */
    float *grad;         /* [M, out]   backward, in: gradient with respect to y; out: before the activation */
    float *grad_x;       /* [M, in]    backward, out; null if not needed */
    float *grad_weight;  /* [out, in]  backward, out */
    float *grad_bias;    /* [out]      backward, out; null if not needed */
    float *workspace;    /* `dense_workspace` floats */
} dense;

enum { IDENTITY, ELU, RELU, TANH };
enum { ROW_SHARE = 4 * ROWS, COLUMN_SHARE = 4 * VECTOR, INNER_BLOCK = 512 };

static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* Floats of working memory that `dense_forward` and `dense_backward` need. */
ptrdiff_t dense_workspace(ptrdiff_t M, ptrdiff_t in, ptrdiff_t out)
{
    return larger(packed_size(in, out), larger(packed_size(out, in), packed_size(M, in)));
}

/* exp(x) - 1 would lose the digits of a small x. */
static inline vector elu(vector x)
{
    vector zero = {0}, negative = choose(x < zero, x, zero);
    vector near = negative * (1.0f + negative * (0.5f + negative * (1.0f / 6.0f + negative * (1.0f / 24.0f))));
    vector below = choose(negative > -0.03f, near, exponential(negative) - 1.0f);
    return choose(x < zero, below, x);
}

static inline vector activate(vector x, int64_t activation)
{
    vector zero = {0};
    return activation == ELU    ? elu(x)
           : activation == RELU ? choose(x < zero, zero, x)
           : activation == TANH ? hyperbolic_tangent(x)
                                : x;
}

/* Derivative of the activation where its value is y. */
static inline vector slope(vector y, int64_t activation)
{
    vector zero = {0}, one = 1.0f - zero;
    return activation == ELU    ? choose(y < zero, y + 1.0f, one)
           : activation == RELU ? choose(y > zero, one, zero)
           : activation == TANH ? 1.0f - y * y
                                : one;
}

/* For rows that are no multiple of a vector the last elements make the round through a vector of their own. */
#define EACH_VECTOR(count, body)                                                                                       \
    do {                                                                                                               \
        ptrdiff_t j = 0;                                                                                               \
        for (; j + VECTOR <= (count); j += VECTOR) {                                                                   \
            enum { used = VECTOR };                                                                                    \
            body                                                                                                       \
        }                                                                                                              \
        if (j < (count)) {                                                                                             \
            ptrdiff_t used = (count)-j;                                                                                \
            body                                                                                                       \
        }                                                                                                              \
    } while (0)

static inline vector load(const float *from, ptrdiff_t used)
{
    vector result = {0};
    memcpy(&result, from, (size_t)used * sizeof(float));
    return result;
}

static inline void store(float *to, vector value, ptrdiff_t used)
{
    memcpy(to, &value, (size_t)used * sizeof(float));
}

static void dense_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const dense *s = layer;
    ptrdiff_t in = s->in, out = s->out;
    for (ptrdiff_t m = begin; m < end; m++)
        memcpy(s->y + m * out, s->bias, (size_t)out * sizeof(float));
    product(end - begin, in, out, s->x + begin * in, in, 1, s->workspace, s->y + begin * out, out, 1);
    if (s->activation == IDENTITY)
        return;
    EACH_VECTOR((end - begin) * out, {
        float *y = s->y + begin * out + j;
        store(y, activate(load(y, used), s->activation), used);
    });
}

void dense_forward(const dense *s, unsigned threads, parallel start)
{
    pack(s->in, s->out, s->weight, s->in, 1, s->workspace);
    spread(s, dense_rows, s->M, ROW_SHARE, threads, start);
}

static void slope_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const dense *s = layer;
    EACH_VECTOR((end - begin) * s->out, {
        float *grad = s->grad + begin * s->out + j;
        store(grad, load(grad, used) * slope(load(s->y + begin * s->out + j, used), s->activation), used);
    });
}

static void input_gradient_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const dense *s = layer;
    product(end - begin, s->out, s->in, s->grad + begin * s->out, s->out, 1, s->workspace, s->grad_x + begin * s->in,
            s->in, 0);
}

/* Rows of the weight's gradient; block by block of the sum over M, so that both factors stay in the cache. */
static void weight_gradient_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const dense *s = layer;
    for (ptrdiff_t first = 0; first < s->M; first += INNER_BLOCK) {
        ptrdiff_t inner = s->M - first < INNER_BLOCK ? s->M - first : INNER_BLOCK;
        product(end - begin, inner, s->in, s->grad + first * s->out + begin, 1, s->out,
                s->workspace + packed_size(first, s->in), s->grad_weight + begin * s->in, s->in, first > 0);
    }
}

static void bias_gradient_columns(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const dense *s = layer;
    float *restrict sums = s->grad_bias;
    memset(sums + begin, 0, (size_t)(end - begin) * sizeof(float));
    for (ptrdiff_t m = 0; m < s->M; m++) {
        const float *restrict grad = s->grad + m * s->out;
        for (ptrdiff_t j = begin; j < end; j++)
            sums[j] += grad[j];
    }
}

void dense_backward(const dense *s, unsigned threads, parallel start)
{
    if (s->activation != IDENTITY)
        spread(s, slope_rows, s->M, ROW_SHARE, threads, start);
    if (s->grad_x) {
        pack(s->out, s->in, s->weight, s->in, 0, s->workspace);
        spread(s, input_gradient_rows, s->M, ROW_SHARE, threads, start);
    }
    for (ptrdiff_t first = 0; first < s->M; first += INNER_BLOCK) {
        ptrdiff_t inner = s->M - first < INNER_BLOCK ? s->M - first : INNER_BLOCK;
        pack(inner, s->in, s->x + first * s->in, s->in, 0, s->workspace + packed_size(first, s->in));
    }
    spread(s, weight_gradient_rows, s->out, ROWS, threads, start);
    if (s->grad_bias)
        spread(s, bias_gradient_columns, s->out, COLUMN_SHARE, threads, start);
}

/* The part of an LSTM layer that goes step by step: N environments over T steps, H units. */
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
} lstm;

/* Floats of working memory that `lstm_forward` and `lstm_backward` need. */
ptrdiff_t lstm_workspace(ptrdiff_t N, ptrdiff_t H)
{
    ptrdiff_t forward = packed_size(H, 4 * H), backward = packed_size(4 * H, H);
    return larger(forward, backward) + 2 * N * H;
}

/* Environments do not depend on each other: each thread takes some through all steps. */
static void lstm_forward_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const lstm *s = layer;
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
        product(rows, H, 4 * H, before, H, 1, packed, s->gates + (t * N + begin) * 4 * H, 4 * H, 1);
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

static void lstm_backward_rows(const void *layer, ptrdiff_t begin, ptrdiff_t end)
{
    const lstm *s = layer;
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
        product(rows, 4 * H, H, s->grad + (t * N + begin) * 4 * H, 4 * H, 1, packed, later_h, H, 0);
        for (ptrdiff_t n = 0; n < rows; n++)
            if (!s->keep[t * N + begin + n])
                memset(later_h + n * H, 0, H * sizeof(float));
    }
}

/* Outputs and cell states of all steps. */
void lstm_forward(const lstm *s, unsigned threads, parallel start)
{
    pack(s->H, 4 * s->H, s->weight, s->H, 1, s->workspace);
    spread(s, lstm_forward_rows, s->N, (s->N + threads - 1) / threads, threads, start);
}

/* Gradient with respect to the gates, given what `lstm_forward` left. */
void lstm_backward(const lstm *s, unsigned threads, parallel start)
{
    pack(4 * s->H, s->H, s->weight, s->H, 0, s->workspace);
    spread(s, lstm_backward_rows, s->N, (s->N + threads - 1) / threads, threads, start);
}

/* A sum over processes of one machine, in memory that they share. `turns` has a cache line for each of them with the
   number t of the last sum that it has published its part of, or -t - 1 if it was the last one ever. */
enum { LINE = 8, YIELDS = 20000, NAPS = 5000 };

void publish(_Atomic int64_t *turns, ptrdiff_t rank, int64_t turn, float *slot, const float *values, ptrdiff_t floats)
{
    memcpy(slot, values, floats * sizeof *slot);
    atomic_store_explicit(turns + rank * LINE, turn, memory_order_release);
}

/* Returns 1 with the sum in `values`, 0 if somebody has not published for about a second, -1 if somebody has left. */
int collect(_Atomic int64_t *turns, ptrdiff_t processes, int64_t turn, const float *slots, ptrdiff_t stride,
            float *values, ptrdiff_t floats)
{
    const struct timespec nap = {0, 200000};
    for (ptrdiff_t rank = 0, waits = 0; rank < processes;) {
        int64_t other = atomic_load_explicit(turns + rank * LINE, memory_order_acquire);
        if (other >= turn || -other - 1 >= turn)
            rank++;
        else if (other < 0)
            return -1;
        else if (waits++ < YIELDS)
            sched_yield();
        else if (waits < YIELDS + NAPS)
            nanosleep(&nap, 0);
        else
            return 0;
    }
    memcpy(values, slots, floats * sizeof *values);
    for (ptrdiff_t rank = 1; rank < processes; rank++)
        for (ptrdiff_t i = 0; i < floats; i++)
            values[i] += slots[rank * stride + i];
    return 1;
}

/* What `end` does. Signal handlers may call little more than this, and have no arguments of their own. */
enum { MOST_WORDS = 64, MOST_PROCESSES = 256 };
static struct {
    int output, processes, process[MOST_PROCESSES];
    size_t length;
    char words[MOST_WORDS];
} last;

static void end(int number)
{
    for (int i = 0; i < last.processes; i++)
        kill(last.process[i], SIGKILL);
    if (write(last.output, last.words, last.length) < 0)
        /* Nobody reads them. */;
    _exit(128 + number);
}

/* From here on the signal kills the processes, writes the words to the file descriptor `output`, and ends this process
   with exit code 128 + number, whatever its threads are doing. */
void end_at(int number, int output, const char *words, int processes, const int *process)
{
    struct sigaction action = {.sa_handler = end};
    last.processes = 0;
    last.output = output;
    last.length = strnlen(words, MOST_WORDS);
    memcpy(last.words, words, last.length);
    memcpy(last.process, process, (processes < MOST_PROCESSES ? processes : MOST_PROCESSES) * sizeof *process);
    last.processes = processes < MOST_PROCESSES ? processes : MOST_PROCESSES;
    sigaction(number, &action, 0);
}
