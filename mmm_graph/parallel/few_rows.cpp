// What decoding one token is made of. Above all a few rows times a weight, y[m][n] = bias[n] + sum_k x[m][k] w[n][k],
// which waits for memory; then what lies between such products, for which calls of torch take longer than the sums.
// Weights are float32, bfloat16, int8 with a scale for each n, or 4-bit numbers with a scale and a least value for each
// 32 columns; scales are bfloat16. Sums are float32. Plain C interface, for ctypes; see few_rows.py.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { F32, BF16, INT8, INT4 };
const long GROUP = 32, LEAST_PARALLEL = 1 << 15;
typedef float f32x8 __attribute__((vector_size(32)));

static inline float wide(float f) { return f; }
static inline float wide(int8_t b) { return b; }
static inline float wide(uint16_t b) {
  uint32_t u = uint32_t(b) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

static inline uint16_t narrow(float f) {  // to the nearest, of two the even one; NaN stays NaN
  uint32_t u;
  memcpy(&u, &f, 4);
  if (f != f) return uint16_t((u >> 16) | 64);
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline float sum(f32x8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

static inline f32x8 eight(const float* p) {
  f32x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}
#ifdef __AVX2__  // compilers make something four times slower of the plain conversions below
static inline f32x8 eight(const uint16_t* p) {
  return (f32x8)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16);
}
static inline f32x8 eight(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
static inline __m256i bytes(const uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
static inline f32x8 low(const uint8_t* p) { return _mm256_cvtepi32_ps(_mm256_and_si256(bytes(p), _mm256_set1_epi32(15))); }
static inline f32x8 high(const uint8_t* p) { return _mm256_cvtepi32_ps(_mm256_srli_epi32(bytes(p), 4)); }
static inline f32x8 exps(f32x8 x) {  // of Cephes: exp(n ln 2 + r); NaN stays NaN
  x = _mm256_min_ps(_mm256_set1_ps(88.3f), _mm256_max_ps(_mm256_set1_ps(-87.3f), x));
  const f32x8 n = _mm256_round_ps(x * 1.44269504f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const f32x8 r = x - n * 0.693359375f + n * 2.12194440e-4f;
  f32x8 p = ((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f;
  p = ((p * r + 1.6666665459e-1f) * r + 5.0000001201e-1f) * (r * r) + r + 1.0f;
  return p * (f32x8)_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
}
#else
template <typename T> static inline f32x8 eight(const T* p) {
  f32x8 v;
  for (int i = 0; i < 8; i++) v[i] = wide(p[i]);
  return v;
}
static inline f32x8 low(const uint8_t* p) {
  f32x8 v;
  for (int i = 0; i < 8; i++) v[i] = p[i] & 15;
  return v;
}
static inline f32x8 high(const uint8_t* p) {
  f32x8 v;
  for (int i = 0; i < 8; i++) v[i] = p[i] >> 4;
  return v;
}
static inline f32x8 exps(f32x8 x) {
  for (int i = 0; i < 8; i++) x[i] = std::exp(x[i]);
  return x;
}
#endif

// A row of the weight, in four sums that do not wait for each other. Several rows at a time are read more slowly.
template <typename T> static inline float dot(const float* x, const T* w, long K) {
  f32x8 a{}, b{}, c{}, d{};
  long k = 0;
  for (; k + 32 <= K; k += 32) {
    a += eight(x + k) * eight(w + k);
    b += eight(x + k + 8) * eight(w + k + 8);
    c += eight(x + k + 16) * eight(w + k + 16);
    d += eight(x + k + 24) * eight(w + k + 24);
  }
  float rest = 0;
  for (; k < K; k++) rest += x[k] * wide(w[k]);
  return sum((a + b) + (c + d)) + rest;
}

// 32 columns are 16 bytes: the low halves, then the high ones. `sums` are those of x over each 32 columns.
static inline float dot4(const float* x, const float* sums, const uint8_t* q, const uint16_t* s, long K) {
  f32x8 t{}, u{};
  float least = 0;
  for (long g = 0; g < K / GROUP; g++, x += 32, q += 16, s += 2) {
    f32x8 a = eight(x) * low(q) + eight(x + 16) * high(q);
    f32x8 b = eight(x + 8) * low(q + 8) + eight(x + 24) * high(q + 8);
    t += a * wide(s[0]);
    u += b * wide(s[0]);
    least += sums[g] * wide(s[1]);
  }
  return sum(t + u) + least;
}

static float one(int type, const float* x, const float* sums, const void* w, const uint16_t* scales, long n, long K) {
  switch (type) {
    case F32: return dot(x, (const float*)w + n * K, K);
    case BF16: return dot(x, (const uint16_t*)w + n * K, K);
    case INT8: return dot(x, (const int8_t*)w + n * K, K) * wide(scales[n]);
    default: return dot4(x, sums, (const uint8_t*)w + n * (K / 2), scales + n * (K / GROUP) * 2, K);
  }
}

template <typename T> static const float* floats(const T* from, std::vector<float>& to) {
  for (size_t i = 0; i < to.size(); i++) to[i] = wide(from[i]);
  return to.data();
}

static inline void put(float* to, float f) { *to = f; }
static inline void put(uint16_t* to, float f) { *to = narrow(f); }

struct Matrix {
  long type, out, in;
  const void *weight, *scales, *bias;  // the last two may be null
};

static const float* plain(const float* x, long, std::vector<float>&) { return x; }
static const float* plain(const uint16_t* x, long count, std::vector<float>& copy) {
  copy.resize(count);
  return floats(x, copy);
}

template <typename T> static void rows(const Matrix& a, int threads, long M, const T* x, T* y) {
  const long N = a.out, K = a.in, groups = a.type == INT4 ? K / GROUP : 0;
  std::vector<float> copy, sums(M * groups);
  const float* wide_x = plain(x, M * K, copy);
  for (size_t g = 0; g < sums.size(); g++)
    for (long i = 0; i < GROUP; i++) sums[g] += wide_x[GROUP * g + i];
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && N * K > LEAST_PARALLEL)
  for (long n = 0; n < N; n++)
    for (long m = 0; m < M; m++) {
      float v = one(a.type, wide_x + m * K, sums.data() + m * groups, a.weight, (const uint16_t*)a.scales, n, K);
      if (a.bias) v += wide(((const T*)a.bias)[n]);
      put(y + m * N + n, v);
    }
}

static void unpack8(const int8_t* w, const uint16_t* scale, long K, float* out) {
  for (long k = 0; k < K; k++) out[k] = w[k] * wide(*scale);
}

static void unpack4(const uint8_t* q, const uint16_t* s, long K, float* out) {
  for (; K; K -= GROUP, q += 16, s += 2, out += GROUP)
    for (int h = 0; h < 16; h += 8) {
      f32x8 a = low(q + h) * wide(s[0]) + wide(s[1]), b = high(q + h) * wide(s[0]) + wide(s[1]);
      memcpy(out + h, &a, sizeof a);
      memcpy(out + 16 + h, &b, sizeof b);
    }
}

// Rows of an INT8 or INT4 weight as float32.
extern "C" void mmm_unpack(int type, int threads, long N, long K, const void* w, const uint16_t* scales, float* out) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && N * K > LEAST_PARALLEL)
  for (long n = 0; n < N; n++) {
    if (type == INT8) unpack8((const int8_t*)w + n * K, scales + n, K, out + n * K);
    else unpack4((const uint8_t*)w + n * (K / 2), scales + n * (K / GROUP) * 2, K, out + n * K);
  }
}

// Rows divided by the root of their mean square, times a weight.
template <typename T> static void norm(long M, long K, float eps, const T* x, const T* weight, T* y) {
  for (long m = 0; m < M; m++, x += K, y += K) {
    float squares = 0;
    for (long k = 0; k < K; k++) squares += wide(x[k]) * wide(x[k]);
    const float by = 1 / std::sqrt(squares / K + eps);
    for (long k = 0; k < K; k++) put(y + k, wide(x[k]) * by * wide(weight[k]));
  }
}

static void exp_all(float* x, long count, float less) {  // x -> exp(x - less)
  long i = 0;
  for (; i + 8 <= count; i += 8) {
    const f32x8 v = exps(eight(x + i) - less);
    memcpy(x + i, &v, sizeof v);
  }
  for (; i < count; i++) x[i] = std::exp(x[i] - less);
}

// Rows [gate, up] -> silu(gate) up.
template <typename T> static void gated(long M, long K, const T* x, T* y) {
  for (long m = 0; m < M; m++, x += 2 * K, y += K) {
    long k = 0;
    for (; k + 8 <= K; k += 8) {
      const f32x8 gate = eight(x + k), v = gate / (1 + exps(-gate)) * eight(x + K + k);
      for (int i = 0; i < 8; i++) put(y + k + i, v[i]);
    }
    for (; k < K; k++) put(y + k, wide(x[k]) / (1 + std::exp(-wide(x[k]))) * wide(x[K + k]));
  }
}

struct Heads {
  long batch, kv_heads, group, dim, room, at, first, turns;  // `turns`: rows of cos and sin, one or one a text
};

template <typename T> static void turned(const T* x, const T* cos, const T* sin, long k, float* y) {
  const long half = k / 2;
  for (long i = 0; i < k; i++) y[i] = cos ? wide(x[i]) * wide(cos[i]) + wide(x[(i + half) % k]) * wide(sin[i]) : wide(x[i]);
}

// One head of keys of one text: turns and writes its key and value at `at` - 1, and lets its queries attend.
template <typename T>
static void attend_head(const Heads& h, long b, long m, const T* qkv, const T* cos, const T* sin, T* cache, T* y) {
  const long k = h.dim, heads = h.kv_heads * h.group, count = h.at - h.first;
  const T* row = qkv + b * (heads + 2 * h.kv_heads) * k;
  if (cos) cos += h.turns > 1 ? b * k : 0, sin += h.turns > 1 ? b * k : 0;
  T* keys = cache + (b * h.kv_heads + m) * h.room * k;
  T* values = keys + h.batch * h.kv_heads * h.room * k;
  std::vector<float> q(k), sums(k), scores(count);
  turned(row + (heads + m) * k, cos, sin, k, q.data());
  for (long i = 0; i < k; i++) put(keys + (h.at - 1) * k + i, q[i]);
  memcpy(values + (h.at - 1) * k, row + (heads + h.kv_heads + m) * k, k * sizeof(T));
  for (long n = m * h.group; n < (m + 1) * h.group; n++) {
    turned(row + n * k, cos, sin, k, q.data());
    float most = -INFINITY, total = 0;
    for (long t = 0; t < count; t++) {
      scores[t] = dot(q.data(), keys + (h.first + t) * k, k) / std::sqrt((float)k);
      most = scores[t] > most ? scores[t] : most;
    }
    exp_all(scores.data(), count, most);
    for (long t = 0; t < count; t++) total += scores[t];
    sums.assign(k, 0);
    for (long t = 0; t < count; t++) {
      const T* value = values + (h.first + t) * k;
      for (long i = 0; i < k; i++) sums[i] += scores[t] * wide(value[i]);
    }
    for (long i = 0; i < k; i++) put(y + (b * heads + n) * k + i, sums[i] / total);
  }
}

template <typename T>
static void attend(const Heads& h, int threads, const T* qkv, const T* cos, const T* sin, T* cache, T* y) {
  const long all = h.batch * h.kv_heads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && all * (h.at - h.first) * h.dim > LEAST_PARALLEL)
  for (long i = 0; i < all; i++) attend_head(h, i / h.kv_heads, i % h.kv_heads, qkv, cos, sin, cache, y);
}

struct Block {
  long kv_heads, group, dim;
  float eps1, eps2;
  const void *norm1, *norm2;
  Matrix qkv, out, gate_up, down;
};

template <typename T> static void add(long count, const T* x, const T* y, T* z) {
  for (long i = 0; i < count; i++) put(z + i, wide(x[i]) + wide(y[i]));
}

// x + attn(norm(x)), then x + mlp(norm(x)): the calls above one after the other, with what they give in between.
template <typename T>
static void block(const Block& b, const Heads& h, int threads, const T* x, const T* cos, const T* sin, T* cache, T* y) {
  const long M = h.batch, width = b.qkv.in;
  std::vector<T> normed(M * width), qkv(M * b.qkv.out), seen(M * b.out.in), added(M * width), middle(M * width);
  std::vector<T> both(M * b.gate_up.out), hidden(M * b.down.in);
  norm(M, width, b.eps1, x, (const T*)b.norm1, normed.data());
  rows(b.qkv, threads, M, normed.data(), qkv.data());
  attend(h, threads, qkv.data(), cos, sin, cache, seen.data());
  rows(b.out, threads, M, seen.data(), added.data());
  add(M * width, x, added.data(), middle.data());
  norm(M, width, b.eps2, middle.data(), (const T*)b.norm2, normed.data());
  rows(b.gate_up, threads, M, normed.data(), both.data());
  gated(M, b.down.in, both.data(), hidden.data());
  rows(b.down, threads, M, hidden.data(), added.data());
  add(M * width, middle.data(), added.data(), y);
}

typedef const uint16_t* half_in;
typedef uint16_t* half_out;

extern "C" void mmm_norm(int is_half, long M, long K, float eps, const void* x, const void* weight, void* y) {
  if (is_half) norm(M, K, eps, (half_in)x, (half_in)weight, (half_out)y);
  else norm(M, K, eps, (const float*)x, (const float*)weight, (float*)y);
}

extern "C" void mmm_gated(int is_half, long M, long K, const void* x, void* y) {
  if (is_half) gated(M, K, (half_in)x, (half_out)y);
  else gated(M, K, (const float*)x, (float*)y);
}

// qkv [b, (n + 2 m) k] of one token each; cos and sin [b or 1, k], or null; cache [2, b, m, room, k]; y [b, n k].
extern "C" void mmm_attend(int is_half, int threads, long batch, long kv_heads, long group, long dim, long room, long at,
                           long first, long turns, const void* qkv, const void* cos, const void* sin, void* cache,
                           void* y) {
  const Heads h{batch, kv_heads, group, dim, room, at, first, turns};
  if (is_half) attend(h, threads, (half_in)qkv, (half_in)cos, (half_in)sin, (half_out)cache, (half_out)y);
  else attend(h, threads, (const float*)qkv, (const float*)cos, (const float*)sin, (float*)cache, (float*)y);
}

extern "C" void mmm_block(int is_half, int threads, const Block* b, long batch, long room, long at, long first, long turns,
                          const void* x, const void* cos, const void* sin, void* cache, void* y) {
  const Heads h{batch, b->kv_heads, b->group, b->dim, room, at, first, turns};
  if (is_half) block(*b, h, threads, (half_in)x, (half_in)cos, (half_in)sin, (half_out)cache, (half_out)y);
  else block(*b, h, threads, (const float*)x, (const float*)cos, (const float*)sin, (float*)cache, (float*)y);
}

// x, bias and y are bfloat16 if `is_half`, else float32; bias and scales may be null.
extern "C" void mmm_rows(int type, int is_half, int threads, long M, long N, long K, const void* x, const void* w,
                         const void* scales, const void* bias, void* y) {
  const Matrix a{type, N, K, w, scales, bias};
  if (is_half) rows(a, threads, M, (half_in)x, (half_out)y);
  else rows(a, threads, M, (const float*)x, (float*)y);
}
