"""The machine code of probe.S, as bytes: an installed banger has no assembler."""

ROM_BYTES = 64 * 1024
RESET_VECTOR = 0xFFF0
"""Offset of the first instruction that a processor runs, in a ROM that ends at 4 GiB (Intel SDM vol. 3, 10.1.4)."""
SUCCESS_STATUS = 0x31 * 2 + 1
"""isa-debug-exit ends QEMU with twice the byte written, plus one."""

PROBE_CODE = bytes.fromhex(
    # real mode: GDT, CR0.PE, far jump
    "fa2e660f011618010f20c06683c8010f22c066ea1a00ffff0800"
    # protected mode: page tables for 4 GiB, CR4.PAE and OSFXSR, EFER.LME, CR0.PG, far jump
    "66b810008ed88ec08ed031c0bf00100000b900180000f3abc7050010000003200000bf00200000b803300000b9040000"
    "008907050010000083c708e2f4bf00300000b883000000b9000800008907050000200083c708e2f40f20e00d20060000"
    "0f22e0b8001000000f22d8b9800000c00f320d000100000f300f20c083e0f30d020000800f22c0eaa800ffff1800"
    # long mode: stack, FXSAVE64, FXRSTOR64, two exchanges, isa-debug-exit
    "bc00900000e80000000058dbe3bf00800000480fae07480fae0fbf00840000e811000000bff03f0000e807000000b031"
    "e6f4f4ebfd"
    # CMPXCHG16B of 16 bytes with themselves, or fail
    "488b07488b57084889c34889d1f0480fc70f7501c3b001e6f4ebfa"
    # GDT: null, code 32, data 32, code 64; its pointer
    "0000000000000000ffff0000009bcf00ffff00000093cf00ffff0000009baf001f00f800ffff"
)


def probe_rom(code: bytes = PROBE_CODE) -> bytes:
    """Return a ROM image that runs `code` from its first byte at reset."""
    if len(code) > RESET_VECTOR:
        raise ValueError(f"{len(code)} bytes of code reach the reset vector")
    # JMP rel16 counts from the instruction that follows it, three bytes on, and wraps at 64 KiB.
    jump = b"\xe9" + (ROM_BYTES - RESET_VECTOR - 3).to_bytes(2, "little")
    return code.ljust(RESET_VECTOR, b"\x90") + jump.ljust(ROM_BYTES - RESET_VECTOR, b"\x90")
