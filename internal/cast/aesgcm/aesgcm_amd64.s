//go:build !purego

#include "textflag.h"

// The hash works on blocks whose bytes are reversed, which makes them numbers whose bits are the wrong way round; see element.overX.

// Reverses the bytes of each 16.
DATA reverse<>+0x00(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+0x08(SB)/8, $0x0001020304050607
DATA reverse<>+0x10(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+0x18(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), RODATA|NOPTR, $32

// What counters are ahead of the first counter block: 1 and 2, and 2 for the next pair.
DATA ahead<>+0x00(SB)/8, $1
DATA ahead<>+0x08(SB)/8, $0
DATA ahead<>+0x10(SB)/8, $2
DATA ahead<>+0x18(SB)/8, $0
GLOBL ahead<>(SB), RODATA|NOPTR, $32
DATA two<>+0x00(SB)/8, $2
DATA two<>+0x08(SB)/8, $0
DATA two<>+0x10(SB)/8, $2
DATA two<>+0x18(SB)/8, $0
GLOBL two<>(SB), RODATA|NOPTR, $32

// 1 + x + x^6, the bits the wrong way round: by this a word is multiplied to be folded into the next ones. In both halves.
DATA poly<>+0x00(SB)/8, $0xc200000000000000
DATA poly<>+0x08(SB)/8, $0xc200000000000000
GLOBL poly<>(SB), RODATA|NOPTR, $16

// Offsets in key and frame.
#define POWER 352
#define FOLDED 480
#define F_COUNTER 0
#define F_DATA 16
#define F_LENGTHS 48
#define F_TAG 64

// One round of AES on the 8 counter blocks in Y0 to Y3.
#define ROUND(i) \
	VMOVDQU (i*32)(AX), Y15 \
	VAESENC Y15, Y0, Y0     \
	VAESENC Y15, Y1, Y1     \
	VAESENC Y15, Y2, Y2     \
	VAESENC Y15, Y3, Y3

// The next two counter blocks, from the reversed ones in Y14, to y, and their first round key, in Y15, added.
#define COUNTER(y) \
	VPSHUFB Y13, Y14, y    \
	VPXOR   Y15, y, y      \
	VPADDD  Y12, Y14, Y14

// Multiplies two blocks, reversed, in y by two powers and adds the products to Y8 (low), Y9 (middle, Karatsuba's) and Y10 (high).
#define MULTIPLY(y, i) \
	VMOVDQU    (POWER+i*32)(AX), Y15 \
	VPCLMULQDQ $0x00, Y15, y, Y7     \
	VPXOR      Y7, Y8, Y8            \
	VPCLMULQDQ $0x11, Y15, y, Y7     \
	VPXOR      Y7, Y10, Y10          \
	VPSHUFD    $0x4e, y, Y7          \
	VPXOR      Y7, y, y              \
	VPCLMULQDQ $0x00, (FOLDED+i*32)(AX), y, Y7 \
	VPXOR      Y7, Y9, Y9

// Adds the upper halves of Y8, Y9 and Y10 to the lower ones and undoes Karatsuba.
#define GATHER \
	VEXTRACTI128 $1, Y8, X7  \
	VPXOR        X7, X8, X8  \
	VEXTRACTI128 $1, Y10, X7 \
	VPXOR        X7, X10, X10 \
	VEXTRACTI128 $1, Y9, X7  \
	VPXOR        X7, X9, X9  \
	VPXOR        X8, X9, X9  \
	VPXOR        X10, X9, X9

// Folds the lowest of the four words in X8, X9 and X10 into the next ones, and then the next.
#define FOLD1 \
	VMOVDQU    poly<>(SB), X15      \
	VPCLMULQDQ $0x00, X15, X8, X7   \
	VPSHUFD    $0x4e, X8, X8        \
	VPXOR      X8, X9, X9           \
	VPXOR      X7, X9, X9

#define FOLD2 \
	VMOVDQU    poly<>(SB), X15      \
	VPCLMULQDQ $0x00, X15, X9, X7   \
	VPSHUFD    $0x4e, X9, X9        \
	VPXOR      X9, X10, X10         \
	VPXOR      X7, X10, X11

// What was added up in Y8, Y9 and Y10, reduced to X11.
#define REDUCE \
	GATHER \
	FOLD1  \
	FOLD2

#define CLEAR \
	VPXOR Y8, Y8, Y8    \
	VPXOR Y9, Y9, Y9    \
	VPXOR Y10, Y10, Y10

// Loads the arguments and hashes the additional data.
#define BEGIN \
	MOVQ       k+0(FP), AX              \
	MOVQ       f+8(FP), BX              \
	MOVQ       dst+16(FP), DI           \
	MOVQ       src+24(FP), SI           \
	MOVQ       n+32(FP), CX             \
	VMOVDQU    reverse<>(SB), Y13       \
	VMOVDQU    two<>(SB), Y12           \
	VBROADCASTI128 F_COUNTER(BX), Y14   \
	VPSHUFB    Y13, Y14, Y14            \
	VPADDD     ahead<>(SB), Y14, Y14    \
	VMOVDQU    F_DATA(BX), Y4           \
	VPSHUFB    Y13, Y4, Y4              \
	CLEAR                               \
	MULTIPLY(Y4, 3)                     \
	REDUCE

// The next 8 counter blocks, to Y0 to Y3.
#define COUNTERS \
	VMOVDQU (AX), Y15 \
	COUNTER(Y0)       \
	COUNTER(Y1)       \
	COUNTER(Y2)       \
	COUNTER(Y3)

#define LASTROUND \
	VMOVDQU     320(AX), Y15 \
	VAESENCLAST Y15, Y0, Y0  \
	VAESENCLAST Y15, Y1, Y1  \
	VAESENCLAST Y15, Y2, Y2  \
	VAESENCLAST Y15, Y3, Y3

// The first 2 of 8 blocks of ciphertext at (DX), added to the hash so far, and the next ones, times their powers.
#define HASHFIRST \
	CLEAR                 \
	VMOVDQU (DX), Y4      \
	VPSHUFB Y13, Y4, Y4   \
	VPXOR   Y11, Y4, Y4   \
	MULTIPLY(Y4, 0)

#define HASHNEXT(i) \
	VMOVDQU (i*32)(DX), Y4 \
	VPSHUFB Y13, Y4, Y4    \
	MULTIPLY(Y4, i)

// Encrypts the next 8 counter blocks, into Y0 to Y3, and meanwhile hashes the 8 blocks of ciphertext at (DX).
#define BOTH \
	COUNTERS    \
	ROUND(1)    \
	HASHFIRST   \
	ROUND(2)    \
	HASHNEXT(1) \
	ROUND(3)    \
	HASHNEXT(2) \
	ROUND(4)    \
	HASHNEXT(3) \
	ROUND(5)    \
	GATHER      \
	ROUND(6)    \
	FOLD1       \
	ROUND(7)    \
	ROUND(8)    \
	FOLD2       \
	ROUND(9)    \
	LASTROUND

// Adds the text at (SI) to the key stream and writes it to (DI).
#define CRYPT \
	VPXOR   (SI), Y0, Y0   \
	VPXOR   32(SI), Y1, Y1 \
	VPXOR   64(SI), Y2, Y2 \
	VPXOR   96(SI), Y3, Y3 \
	VMOVDQU Y0, (DI)       \
	VMOVDQU Y1, 32(DI)     \
	VMOVDQU Y2, 64(DI)     \
	VMOVDQU Y3, 96(DI)     \
	ADDQ    $128, SI       \
	ADDQ    $128, DI

// Hashes the lengths and writes the tag: the hash and the first counter block, encrypted.
#define END \
	VMOVDQU     F_LENGTHS(BX), X4       \
	VPSHUFB     X13, X4, X4             \
	VPXOR       X11, X4, X4             \
	VMOVDQU     F_COUNTER(BX), X0       \
	VPXOR       (AX), X0, X0            \
	VAESENC     32(AX), X0, X0          \
	VAESENC     64(AX), X0, X0          \
	VAESENC     96(AX), X0, X0          \
	VAESENC     128(AX), X0, X0         \
	VAESENC     160(AX), X0, X0         \
	VAESENC     192(AX), X0, X0         \
	VAESENC     224(AX), X0, X0         \
	VAESENC     256(AX), X0, X0         \
	VAESENC     288(AX), X0, X0         \
	VAESENCLAST 320(AX), X0, X0         \
	VMOVDQU     (POWER+3*32+16)(AX), X15 \
	VPCLMULQDQ  $0x00, X15, X4, X8      \
	VPCLMULQDQ  $0x11, X15, X4, X10     \
	VPSHUFD     $0x4e, X4, X7           \
	VPXOR       X7, X4, X4              \
	VPCLMULQDQ  $0x00, (FOLDED+3*32+16)(AX), X4, X9 \
	REDUCE                              \
	VPSHUFB     X13, X11, X11           \
	VPXOR       X11, X0, X0             \
	VMOVDQU     X0, F_TAG(BX)           \
	VZEROUPPER

// func seal(k *key, f *frame, dst, src *byte, n int)
TEXT ·seal(SB), NOSPLIT, $0-40
	BEGIN
	COUNTERS
	ROUND(1)
	ROUND(2)
	ROUND(3)
	ROUND(4)
	ROUND(5)
	ROUND(6)
	ROUND(7)
	ROUND(8)
	ROUND(9)
	LASTROUND
	MOVQ DI, DX
	CRYPT
	SUBQ $128, CX
	JZ   sealLast

sealNext: // what is hashed is one turn behind
	BOTH
	MOVQ DI, DX
	CRYPT
	SUBQ $128, CX
	JNZ  sealNext

sealLast:
	HASHFIRST
	HASHNEXT(1)
	HASHNEXT(2)
	HASHNEXT(3)
	REDUCE
	END
	RET

// func open(k *key, f *frame, dst, src *byte, n int)
TEXT ·open(SB), NOSPLIT, $0-40
	BEGIN

openNext:
	MOVQ SI, DX
	BOTH
	CRYPT
	SUBQ $128, CX
	JNZ  openNext
	END
	RET

// The next round key, from the one in X0 and what AESKEYGENASSIST made of it.
#define NEXTKEY(i, rcon) \
	VAESKEYGENASSIST $rcon, X0, X1 \
	VPSHUFD          $0xff, X1, X1 \
	VPSLLDQ          $4, X0, X2    \
	VPXOR            X2, X0, X0    \
	VPSLLDQ          $4, X2, X2    \
	VPXOR            X2, X0, X0    \
	VPSLLDQ          $4, X2, X2    \
	VPXOR            X2, X0, X0    \
	VPXOR            X1, X0, X0    \
	VMOVDQU          X0, (i*32)(AX)    \
	VMOVDQU          X0, (i*32+16)(AX)

// func expand(round *[11][32]byte, key *[KeySize]byte)
TEXT ·expand(SB), NOSPLIT, $0-16
	MOVQ    round+0(FP), AX
	MOVQ    key+8(FP), BX
	VMOVDQU (BX), X0
	VMOVDQU X0, (AX)
	VMOVDQU X0, 16(AX)
	NEXTKEY(1, 0x01)
	NEXTKEY(2, 0x02)
	NEXTKEY(3, 0x04)
	NEXTKEY(4, 0x08)
	NEXTKEY(5, 0x10)
	NEXTKEY(6, 0x20)
	NEXTKEY(7, 0x40)
	NEXTKEY(8, 0x80)
	NEXTKEY(9, 0x1b)
	NEXTKEY(10, 0x36)
	RET
