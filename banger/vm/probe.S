# A guest of 286 bytes that does what Debian's kernel does in its first second and a half-working KVM cannot.
#
# It starts at the processor's reset vector, so it needs no firmware: real mode, protected mode, long mode with paging;
# there FXSAVE64, FXRSTOR64 and CMPXCHG16B, the last on plain memory and on a live page table, which a hypervisor that
# shadows page tables must emulate. It ends QEMU through isa-debug-exit: 0x31 written if all of it worked (exit status
# 0x31 * 2 + 1 = 99), 0x01 if CMPXCHG16B did not do what it must. An instruction that KVM cannot emulate never gets there.
#
# banger/vm/probe_image.py holds the assembled bytes; tests/unit/vm/test_kvm.py assembles this file and compares.
# The code lies at 0xffff0000, the start of a ROM of 64 KiB that ends at 4 GiB; memory below 64 KiB holds its tables.
	.code16
	.text
	.globl _start
_start:
	cli
	cs lgdtl gdt_pointer - _start        # the segment's base is 0xffff0000 since reset; 32-bit operand: the whole base
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $(0xffff0000 + protected - _start)
	.code32
protected:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	# PML4 0x1000 -> PDPT 0x2000 -> 4 page directories 0x3000..0x6000, 2 MiB pages
	xorl %eax, %eax
	movl $0x1000, %edi
	movl $0x1800, %ecx
	rep stosl
	movl $0x2003, 0x1000
	movl $0x2000, %edi
	movl $0x3003, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	loop 1b
	movl $0x3000, %edi
	movl $0x83, %eax
	movl $2048, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 2b
	movl %cr4, %eax
	orl $0x620, %eax             # PAE, OSFXSR, OSXMMEXCPT
	movl %eax, %cr4
	movl $0x1000, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	andl $0xfffffff3, %eax       # no EM, no TS
	orl $0x80000002, %eax        # PG, MP
	movl %eax, %cr0
	ljmpl $0x18, $(0xffff0000 + long_mode - _start)
	.code64
long_mode:
	movl $0x9000, %esp
	call 3f                      # the stack works
3:	pop %rax
	fninit
	movl $0x8000, %edi
	fxsave64 (%rdi)
	fxrstor64 (%rdi)
	# cmpxchg16b on plain memory, then on the page table entry that maps it
	movl $0x8400, %edi
	call exchange
	movl $0x3ff0, %edi           # last two entries of the first page directory: live, write-tracked by shadow paging
	call exchange
	movb $0x31, %al              # isa-debug-exit: status = value * 2 + 1 = 99
	outb %al, $0xf4
4:	hlt
	jmp 4b
exchange:
	movq (%rdi), %rax
	movq 8(%rdi), %rdx
	movq %rax, %rbx
	movq %rdx, %rcx
	lock cmpxchg16b (%rdi)
	jnz failed
	ret
failed:
	movb $0x01, %al
	outb %al, $0xf4
	jmp failed
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00af9b000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long 0xffff0000 + gdt - _start
end:
