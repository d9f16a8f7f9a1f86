# Entry by the PVH protocol (Xen docs/misc/pvh.pandoc): 32-bit protected mode, paging off, EBX =
# hvm_start_info. Builds the smallest page tables that long mode can start with, and goes to 64-bit Rust code.
# paging.rs and gdt.rs replace what is set up here.

    .section .note.Xen, "a", @note
    .balign 4
    .long 4                             # n_namesz
    .long 4                             # n_descsz
    .long 18                            # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start

    .section .text.boot, "ax", @progbits
    .code32
    .global pvh_start
pvh_start:
    cli
    cld
    mov esp, offset boot_stack_top

    # One 2 MiB page each for the first GiB: present, writable, page size.
    mov ecx, 512
    mov eax, 0x83
    mov edi, offset boot_page_directory
1:  mov [edi], eax
    mov dword ptr [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 1b
    mov dword ptr [boot_pdpt], offset boot_page_directory + 3
    mov dword ptr [boot_pml4], offset boot_pdpt + 3

    # SDM Vol. 3A, 10.8.5 "Initializing IA-32e Mode": PAE, CR3, EFER.LME, then PG.
    # OSFXSR and OSXMMEXCPT make SSE2 usable, which compiled code needs from its first instruction on.
    mov eax, 0x620                      # CR4: PAE | OSFXSR | OSXMMEXCPT
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080                 # IA32_EFER
    rdmsr
    or eax, 0x900                       # LME | NXE
    wrmsr
    mov eax, 0x80010023                 # CR0: PG | WP | NE | MP | PE
    mov cr0, eax

    lgdt [boot_gdt_pointer]
    push 0x08
    mov eax, offset long_mode
    push eax
    retf

    .code64
long_mode:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esp, offset boot_stack_top      # the upper half of RSP is undefined after the switch
    mov edi, ebx                        # hvm_start_info; writing EDI clears the upper half of RDI
    xor ebp, ebp
    call {main}
2:  cli
    hlt
    jmp 2b

    .section .rodata.boot, "a", @progbits
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00209b0000000000            # 64-bit code, accessed
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt

    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_page_directory:
    .skip 4096
    .skip 65536
boot_stack_top:
