# One entry stub for each of the 256 vectors, 16 bytes apart, so that idt.rs computes their addresses. A stub
# makes the stack the same for all vectors (an error code and the vector number) and goes to the common part,
# which saves what compiled code may destroy: the integer registers and XMM0-15. FXSAVE is not used: 128-bit
# moves need no x87 state. The order of the pushes is the order of the fields of idt::Frame.

    .section .text.isr, "ax", @progbits
    .global interrupt_stubs
    .balign 16
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    # SDM Vol. 3A, Table 6-1: #DF, #TS, #NP, #SS, #GP, #PF, #AC and #CP push an error code of their own.
    .set own_error, 0
    .irp with_error, 8, 10, 11, 12, 13, 14, 17, 21
    .if vector == \with_error
    .set own_error, 1
    .endif
    .endr
    .if own_error == 0
    push 0
    .endif
    push vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr

    .balign 16
interrupt_common:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rbx, rsp                        # preserved by the callee
    sub rsp, 256
    and rsp, -16
    movups [rsp + 0x00], xmm0
    movups [rsp + 0x10], xmm1
    movups [rsp + 0x20], xmm2
    movups [rsp + 0x30], xmm3
    movups [rsp + 0x40], xmm4
    movups [rsp + 0x50], xmm5
    movups [rsp + 0x60], xmm6
    movups [rsp + 0x70], xmm7
    movups [rsp + 0x80], xmm8
    movups [rsp + 0x90], xmm9
    movups [rsp + 0xa0], xmm10
    movups [rsp + 0xb0], xmm11
    movups [rsp + 0xc0], xmm12
    movups [rsp + 0xd0], xmm13
    movups [rsp + 0xe0], xmm14
    movups [rsp + 0xf0], xmm15
    cld
    mov rdi, rbx
    call {dispatch}
    movups xmm0, [rsp + 0x00]
    movups xmm1, [rsp + 0x10]
    movups xmm2, [rsp + 0x20]
    movups xmm3, [rsp + 0x30]
    movups xmm4, [rsp + 0x40]
    movups xmm5, [rsp + 0x50]
    movups xmm6, [rsp + 0x60]
    movups xmm7, [rsp + 0x70]
    movups xmm8, [rsp + 0x80]
    movups xmm9, [rsp + 0x90]
    movups xmm10, [rsp + 0xa0]
    movups xmm11, [rsp + 0xb0]
    movups xmm12, [rsp + 0xc0]
    movups xmm13, [rsp + 0xd0]
    movups xmm14, [rsp + 0xe0]
    movups xmm15, [rsp + 0xf0]
    mov rsp, rbx
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16                         # vector and error code
    iretq
