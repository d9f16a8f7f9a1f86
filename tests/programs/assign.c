/* A network card in the hands of a user-space program: vfio-pci takes eth0 from the kernel's e1000, this program drives it through
 * I/O virtual addresses of its own choice, then the kernel has it back. What it does in which order is told in docs/assignment.md;
 * tests/assignment.rs compares that with the trace. Kernel interface: include/uapi/linux/vfio.h. Card: 8254x manual, chapters 3 and 13. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The addresses that the card is told. None of them means anything to the processor. */
#define PAGE 4096ull
#define RX_RING 0x10000000ull
#define TX_RING 0x10001000ull
#define RX_BUFFERS 0x20000000ull
#define TX_BUFFER 0x30000000ull
#define WILD (RX_BUFFERS + RX_PAGES * PAGE) /* the page behind the receive buffers */
#define NOWHERE 0x40000000ull               /* far from everything */

#define BUFFER 2048
#define RX_PAGES 8
#define RX_COUNT (RX_PAGES * PAGE / BUFFER)
#define TX_COUNT 8

/* The program's memory: pages in this order. The page behind the receive buffers is not mapped for the card. */
enum { RX_RING_PAGE, TX_RING_PAGE, TX_BUFFER_PAGE, RX_BUFFER_PAGE, GUARD_PAGE = RX_BUFFER_PAGE + RX_PAGES, PAGES };
static uint8_t *memory;
#define AT(page) (memory + (page) * PAGE)
#define GUARD_BYTE 0xa5

/* 8254x manual, 13.4. */
enum {
    CTRL = 0x0000, STATUS = 0x0008, ICR = 0x00c0, IMS = 0x00d0, IMC = 0x00d8, RCTL = 0x0100, TCTL = 0x0400, TIPG = 0x0410,
    RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818,
    TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818,
};
#define CTRL_FD (1u << 0)
#define CTRL_SLU (1u << 6)
#define STATUS_LU (1u << 1)
#define ICR_TXDW (1u << 0)
#define ICR_RXT0 (1u << 7)
#define RCTL_EN (1u << 1)
#define RCTL_BAM (1u << 15)
#define RCTL_SECRC (1u << 26)
#define TCTL_EN (1u << 1)
#define TCTL_PSP (1u << 3)

/* 3.2.3 and 3.3.3: the legacy descriptors. */
struct rx { uint64_t address; uint16_t len, checksum; uint8_t status, errors; uint16_t special; };
struct tx { uint64_t address; uint16_t len; uint8_t cso, command, status, css; uint16_t special; };
#define DD 1
#define TX_EOP 1
#define TX_IFCS 2
#define TX_RS 8

static volatile struct rx *rx_ring(void) { return (volatile struct rx *)AT(RX_RING_PAGE); }
static volatile struct tx *tx_ring(void) { return (volatile struct tx *)AT(TX_RING_PAGE); }

static char card[16]; /* as sysfs names it, 0000:00:02.0 */
static int container, group, device, event;
static volatile uint8_t *bar;
static uint64_t config_at;
static unsigned rx_next, rx_tail, tx_next;
static const uint8_t guest_ip[4] = {192, 0, 2, 2};

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("assign: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    va_end(arguments);
}

static void check(int fine, const char *what) {
    if (!fine) {
        say("FAILED: %s: %s", what, strerror(errno));
        exit(1);
    }
}

static uint32_t get(unsigned reg) { return *(volatile uint32_t *)(bar + reg); }
static void put(unsigned reg, uint32_t value) { *(volatile uint32_t *)(bar + reg) = value; }
static void wait_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

/* Writes a word into a file of sysfs; whether that may fail is the caller's business. */
static int tell(const char *path, const char *word) {
    int file = open(path, O_WRONLY);
    check(file >= 0, path);
    int fine = write(file, word, strlen(word)) == (ssize_t)strlen(word);
    close(file);
    return fine;
}

/* A file of the card's in sysfs. */
static const char *of_card(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", card, name);
    return path;
}

static void name_of_link(const char *path, char *name, size_t room) {
    char target[256];
    ssize_t len = readlink(path, target, sizeof target - 1);
    check(len > 0, path);
    target[len] = 0;
    snprintf(name, room, "%s", strrchr(target, '/') + 1);
}

/* ---- from the kernel's driver to vfio-pci and back ---- */

/* The kernel's driver sets up its rings, so that there is something to take away from it. */
static void bring_up(void) {
    struct ifreq request = {.ifr_name = "eth0", .ifr_flags = IFF_UP};
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    check(any >= 0 && ioctl(any, SIOCSIFFLAGS, &request) == 0, "eth0 up");
    close(any);
    wait_ms(100);
}

static void hand_over(const char *from, const char *to) {
    char path[128], driver[64];
    snprintf(path, sizeof path, "/sys/bus/pci/drivers/%s/unbind", from);
    check(tell(path, card), "unbind");
    check(tell(of_card("driver_override"), to), "driver_override");
    check(tell("/sys/bus/pci/drivers_probe", card), "drivers_probe");
    name_of_link(of_card("driver"), driver, sizeof driver);
    say("%s goes from %s to %s", card, from, driver);
}

/* ---- group, container, mappings ---- */

static void open_card(void) {
    char number[32], path[64];
    struct vfio_group_status status = {.argsz = sizeof status};
    struct vfio_device_info info = {.argsz = sizeof info};
    name_of_link(of_card("iommu_group"), number, sizeof number);
    snprintf(path, sizeof path, "/dev/vfio/%s", number);
    container = open("/dev/vfio/vfio", O_RDWR);
    check(container >= 0, "/dev/vfio/vfio");
    check(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION, "API version");
    check(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1, "type 1 v2");
    group = open(path, O_RDWR);
    check(group >= 0, path);
    check(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && status.flags & VFIO_GROUP_FLAGS_VIABLE, "viable group");
    check(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "group into container");
    check(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "type 1 v2");
    say("group %s is in a container of type 1", number);
    device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, card);
    check(device >= 0, "device");
    check(ioctl(device, VFIO_DEVICE_GET_INFO, &info) == 0, "device info");
    say("%u regions, %u kinds of interrupt%s", info.num_regions, info.num_irqs,
        info.flags & VFIO_DEVICE_FLAGS_RESET ? ", can be reset" : "");
    check(info.flags & VFIO_DEVICE_FLAGS_RESET, "a reset method");
}

static void map(uint64_t iova, unsigned page, unsigned pages, unsigned how) {
    struct vfio_iommu_type1_dma_map map = {
        .argsz = sizeof map, .flags = how, .vaddr = (uintptr_t)AT(page), .iova = iova, .size = pages * PAGE};
    check(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0, "MAP_DMA");
    say("mapped %#llx, %u page%s, %s%s", (unsigned long long)iova, pages, pages > 1 ? "s" : "",
        how & VFIO_DMA_MAP_FLAG_READ ? "r" : "", how & VFIO_DMA_MAP_FLAG_WRITE ? "w" : "");
}

static void unmap(uint64_t iova, unsigned pages) {
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = pages * PAGE};
    check(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == pages * PAGE, "UNMAP_DMA");
    say("unmapped %#llx", (unsigned long long)iova);
}

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static void open_regions(void) {
    struct vfio_region_info info = {.argsz = sizeof info, .index = VFIO_PCI_BAR0_REGION_INDEX};
    check(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "BAR 0");
    check(info.flags & VFIO_REGION_INFO_FLAG_MMAP, "BAR 0 can be mapped");
    bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
    check(bar != MAP_FAILED, "mmap of BAR 0");
    say("BAR 0 has %llu KiB", (unsigned long long)info.size / 1024);
    info = (struct vfio_region_info){.argsz = sizeof info, .index = VFIO_PCI_CONFIG_REGION_INDEX};
    check(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "configuration space");
    config_at = info.offset;
}

static uint16_t command(void) {
    uint16_t value;
    check(pread(device, &value, 2, (off_t)(config_at + PCI_COMMAND)) == 2, "read of the command register");
    return value;
}

static void master_bus(void) {
    uint16_t value = command() | PCI_COMMAND_MASTER;
    check(pwrite(device, &value, 2, (off_t)(config_at + PCI_COMMAND)) == 2, "write of the command register");
    check(command() & PCI_COMMAND_MASTER, "bus mastering");
}

/* ---- interrupts ---- */

static void set_irq(unsigned index, unsigned flags, unsigned count, int file) {
    char room[sizeof(struct vfio_irq_set) + sizeof file] = {0};
    struct vfio_irq_set *set = (struct vfio_irq_set *)room;
    *set = (struct vfio_irq_set){.argsz = sizeof *set, .flags = flags, .index = index, .count = count};
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
        set->argsz = sizeof room;
        memcpy(set->data, &file, sizeof file);
    }
    check(ioctl(device, VFIO_DEVICE_SET_IRQS, set) == 0, "SET_IRQS");
}

static void interrupts_by(unsigned index) {
    struct vfio_irq_info info = {.argsz = sizeof info, .index = index};
    check(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) == 0 && info.count == 1, "one interrupt of the kind");
    set_irq(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, event);
    say("interrupts by %s", index == VFIO_PCI_INTX_IRQ_INDEX ? "INTx" : "MSI");
}

static void no_interrupts(unsigned index) {
    set_irq(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, -1);
}

/* Waits for an interrupt, reads and so clears its causes, lets the next INTx come. */
static unsigned await_interrupt(unsigned index) {
    struct pollfd wait = {.fd = event, .events = POLLIN};
    uint64_t count;
    check(poll(&wait, 1, 5000) == 1, "an interrupt within five seconds");
    check(read(event, &count, sizeof count) == sizeof count, "eventfd");
    unsigned causes = get(ICR);
    if (index == VFIO_PCI_INTX_IRQ_INDEX) {
        set_irq(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 1, -1);
    }
    return causes;
}

/* ---- the card ---- */

/* Rings, receiver and transmitter from reset on. No descriptor is the receiver's yet. */
static void start(void) {
    check(ioctl(device, VFIO_DEVICE_RESET) == 0, "reset");
    master_bus();
    memset(AT(RX_RING_PAGE), 0, PAGE);
    memset(AT(TX_RING_PAGE), 0, PAGE);
    rx_next = rx_tail = tx_next = 0;
    put(CTRL, CTRL_SLU | CTRL_FD);
    put(RDBAL, (uint32_t)RX_RING), put(RDBAH, RX_RING >> 32), put(RDLEN, RX_COUNT * sizeof(struct rx));
    put(TDBAL, (uint32_t)TX_RING), put(TDBAH, TX_RING >> 32), put(TDLEN, TX_COUNT * sizeof(struct tx));
    put(RDH, 0), put(RDT, 0), put(TDH, 0), put(TDT, 0);
    put(TIPG, 0x602008);
    put(TCTL, TCTL_EN | TCTL_PSP);
    put(RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
    for (int n = 0; !(get(STATUS) & STATUS_LU); n++) {
        check(n < 100, "a link");
        wait_ms(50);
    }
}

static void lend_buffer(uint64_t address) {
    volatile struct rx *d = &rx_ring()[rx_tail];
    *d = (struct rx){.address = address};
    rx_tail = (rx_tail + 1) % RX_COUNT;
    put(RDT, rx_tail);
}

static volatile struct tx *give(uint64_t address, unsigned len) {
    volatile struct tx *d = &tx_ring()[tx_next];
    *d = (struct tx){.address = address, .len = (uint16_t)len, .command = TX_EOP | TX_IFCS | TX_RS};
    tx_next = (tx_next + 1) % TX_COUNT;
    put(TDT, tx_next);
    return d;
}

static void send_frame(unsigned len) {
    volatile struct tx *d = give(TX_BUFFER, len);
    for (int n = 0; !(d->status & DD); n++) {
        check(n < 1000, "a frame sent");
        wait_ms(1);
    }
}

/* ---- ARP (RFC 826), ICMP echo (792), UDP echo (862), in place ---- */

static void swap(uint8_t *a, uint8_t *b, unsigned len) {
    for (unsigned n = 0; n < len; n++) {
        uint8_t kept = a[n];
        a[n] = b[n], b[n] = kept;
    }
}

/* Makes the reply to a frame in the transmit buffer; its length, or 0 if there is nothing to say. */
static unsigned reply_to(const uint8_t *frame, unsigned len, const uint8_t *mac) {
    uint8_t *f = AT(TX_BUFFER_PAGE), *ip = f + 14, *above = f + 34;
    if (len < 42 || len > BUFFER) {
        return 0;
    }
    memcpy(f, frame, len);
    if (f[12] == 8 && f[13] == 6 && f[21] == 1 && !memcmp(f + 38, guest_ip, 4)) {
        f[21] = 2;
        memcpy(f + 32, f + 22, 10), memcpy(f + 22, mac, 6), memcpy(f + 28, guest_ip, 4);
    } else if (f[12] == 8 && f[13] == 0 && ip[0] == 0x45 && !memcmp(ip + 16, guest_ip, 4) && ip[9] == 1 && above[0] == 8) {
        uint32_t sum = (uint32_t)(above[2] << 8 | above[3]) + 0x0800; /* RFC 1624: the type falls by 8 */
        sum = (sum & 0xffff) + (sum >> 16);
        above[0] = 0, above[2] = (uint8_t)(sum >> 8), above[3] = (uint8_t)sum;
        swap(ip + 12, ip + 16, 4);
    } else if (f[12] == 8 && f[13] == 0 && ip[0] == 0x45 && !memcmp(ip + 16, guest_ip, 4) && ip[9] == 17 && above[2] == 0 &&
               above[3] == 7) {
        swap(above, above + 2, 2);
        swap(ip + 12, ip + 16, 4);
    } else {
        return 0;
    }
    memcpy(f, frame + 6, 6), memcpy(f + 6, mac, 6);
    return len;
}

/* Receives frames until it has had so many, answers those that want an answer. */
static void serve(unsigned index, unsigned frames, const uint8_t *mac) {
    unsigned had = 0, answered = 0, interrupts = 0;
    put(IMS, ICR_RXT0);
    for (unsigned n = 0; n < frames; n++) {
        lend_buffer(RX_BUFFERS + rx_tail * BUFFER);
    }
    while (had < frames) {
        check(await_interrupt(index) & ICR_RXT0, "an interrupt for a frame");
        interrupts++;
        for (; rx_ring()[rx_next].status & DD; had++, rx_next = (rx_next + 1) % RX_COUNT) {
            volatile struct rx *d = &rx_ring()[rx_next];
            unsigned len = reply_to(AT(RX_BUFFER_PAGE) + rx_next * BUFFER, d->len, mac);
            d->status = 0;
            if (len) {
                send_frame(len);
                answered++;
            }
        }
    }
    put(IMC, ~0u);
    say("%u frames, %u answered, %u interrupts", had, answered, interrupts);
}

/* An ARP announcement, so that the far end knows that somebody is there. */
static void announce(const uint8_t *mac) {
    static const uint8_t arp[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t *f = AT(TX_BUFFER_PAGE);
    memset(f, 0, 60);
    memset(f, 0xff, 6), memcpy(f + 6, mac, 6), memcpy(f + 12, arp, sizeof arp);
    memcpy(f + 22, mac, 6), memcpy(f + 28, guest_ip, 4), memcpy(f + 38, guest_ip, 4);
    send_frame(60);
}

/* ---- what must not work ---- */

/* The program's memory, before and after: a refused DMA changes nothing. The receive ring is left out, where the card may and does tell
 * that it has used a descriptor. */
static uint64_t fingerprint(void) {
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t n = (RX_RING_PAGE + 1) * PAGE; n < PAGES * PAGE; n++) {
        sum = (sum ^ memory[n]) * 0x100000001b3;
    }
    return sum;
}

static void check_untouched(const char *what, uint64_t before) {
    wait_ms(20);
    check(fingerprint() == before, what);
    for (unsigned n = 0; n < PAGE; n++) {
        check(AT(GUARD_PAGE)[n] == GUARD_BYTE, "the page behind the buffers");
    }
    say("%s: refused, no byte of memory changed", what);
}

/* The page behind the buffers is the program's own, but not the card's. */
static void receive_outside(void) {
    start();
    *rx_ring() = (struct rx){.address = WILD};
    uint64_t before = fingerprint();
    lend_buffer(WILD);
    check_untouched("a frame received behind the buffers", before);
}

static void send_outside(void) {
    start();
    tx_ring()[0] = (struct tx){.address = NOWHERE, .len = 60, .command = TX_EOP | TX_IFCS};
    uint64_t before = fingerprint();
    put(TDT, 1);
    check_untouched("a frame sent from where nothing is mapped", before);
}

/* The transmit ring may be read, not written: the frame goes out, its descriptor stays as it was. */
static void report_to_read_only(void) {
    unmap(TX_RING, 1);
    map(TX_RING, TX_RING_PAGE, 1, VFIO_DMA_MAP_FLAG_READ);
    start();
    tx_ring()[0] = (struct tx){.address = TX_BUFFER, .len = 60, .command = TX_EOP | TX_IFCS | TX_RS};
    uint64_t before = fingerprint();
    put(TDT, 1);
    check_untouched("a descriptor written back to a read-only page", before);
    unmap(TX_RING, 1);
    map(TX_RING, TX_RING_PAGE, 1, RW);
}

/* The card has just read that page, so its translation is in the IOTLB when the mapping goes. */
static void send_after_unmap(const uint8_t *mac) {
    wait_ms(5000); /* the kernel tells of ten things in five seconds, and each fault is three of them */
    start();
    announce(mac);
    unmap(TX_BUFFER, 1);
    *(volatile struct tx *)&tx_ring()[1] = (struct tx){.address = TX_BUFFER, .len = 60, .command = TX_EOP | TX_IFCS};
    uint64_t before = fingerprint();
    put(TDT, 2);
    check_untouched("a frame sent from a page that was unmapped", before);
}

int main(void) {
    uint8_t mac[6];
    char text[18] = {0};
    int file = open("/sys/class/net/eth0/address", O_RDONLY);
    check(file >= 0 && read(file, text, 17) == 17, "the card's address");
    close(file);
    check(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6, text);

    name_of_link("/sys/class/net/eth0/device", card, sizeof card);

    bring_up();
    hand_over("e1000", "vfio-pci");
    open_card();
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "memory");
    /* Every page is written to before it is mapped: one that was not is the kernel's shared page of zeros, and stays it for a card that
     * may only read. */
    memset(memory, 0, PAGES * PAGE);
    memset(AT(GUARD_PAGE), GUARD_BYTE, PAGE);
    map(RX_RING, RX_RING_PAGE, 1, RW);
    map(TX_RING, TX_RING_PAGE, 1, RW);
    map(RX_BUFFERS, RX_BUFFER_PAGE, RX_PAGES, RW);
    map(TX_BUFFER, TX_BUFFER_PAGE, 1, VFIO_DMA_MAP_FLAG_READ);
    open_regions();
    event = eventfd(0, EFD_CLOEXEC);
    check(event >= 0, "eventfd");

    /* The capture's frames wait until the card has descriptors for them, so each goes where this program wants it. */
    start();
    interrupts_by(VFIO_PCI_INTX_IRQ_INDEX);
    announce(mac);
    serve(VFIO_PCI_INTX_IRQ_INDEX, 2, mac);
    receive_outside();
    send_outside();
    report_to_read_only();
    start();
    serve(VFIO_PCI_INTX_IRQ_INDEX, 9, mac);
    no_interrupts(VFIO_PCI_INTX_IRQ_INDEX);
    interrupts_by(VFIO_PCI_MSI_IRQ_INDEX);
    serve(VFIO_PCI_MSI_IRQ_INDEX, 11, mac);
    no_interrupts(VFIO_PCI_MSI_IRQ_INDEX);
    send_after_unmap(mac);

    unmap(RX_BUFFERS, RX_PAGES);
    munmap((void *)bar, 0x20000);
    close(device);
    check(ioctl(group, VFIO_GROUP_UNSET_CONTAINER) == 0, "group out of container");
    close(group);
    close(container);
    say("the container is closed");
    hand_over("vfio-pci", "e1000");
    return 0;
}
